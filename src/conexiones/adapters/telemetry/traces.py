"""Whether traces are sent anywhere. OpenTelemetry's SDK takes memory, and is loaded only then."""

from typing import TYPE_CHECKING

from conexiones.adapters.telemetry.resource import push
from conexiones.metrics import Metrics

if TYPE_CHECKING:
    from conexiones.adapters.telemetry.spans import OtelTracer


def tracer(metrics: Metrics) -> "OtelTracer | None":
    """None if there is nowhere to send traces to."""
    asked = push("traces")
    if asked is None:
        return None
    from conexiones.adapters.telemetry.spans import OtelTracer

    return OtelTracer(asked, metrics=metrics)
