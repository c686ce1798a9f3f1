"""Whether traces are sent anywhere. OpenTelemetry's SDK takes memory, and is loaded only then."""

from typing import TYPE_CHECKING

from conexiones.adapters.telemetry.resource import Push, push
from conexiones.metrics import Metrics
from conexiones.tracing import Parent, Span

if TYPE_CHECKING:
    from conexiones.adapters.telemetry.spans import OtelTracer


def tracer(metrics: Metrics) -> "Traces | None":
    """None if there is nowhere to send traces to."""
    asked = push("traces")
    return None if asked is None else Traces(asked, metrics)


class Traces:
    """A Tracer, which is made when it is opened: the SDK reads its variables as early as its import."""

    def __init__(self, how: Push, metrics: Metrics) -> None:
        self._how = how
        self._metrics = metrics
        self._tracer: OtelTracer

    def open(self) -> None:
        """Raises ValueError if the variables OTEL_* have what the SDK does not take."""
        try:
            from conexiones.adapters.telemetry.spans import OtelTracer

            self._tracer = OtelTracer(self._how, metrics=self._metrics)
            self._tracer.open()
        except Exception as error:
            raise ValueError(f"Traces cannot be sent as the variables OTEL_* say: {error}") from error

    def call(self, name: str, *, parent: Parent | None, state: bytes, begun: int) -> Span:
        return self._tracer.call(name, parent=parent, state=state, begun=begun)

    async def close(self) -> None:
        await self._tracer.close()
