"""Pushes the figures of all instruments to a collector, by OTLP.

They are read on the event loop, and all else is done by a thread of its own: a collector that is slow or away
holds up neither the server nor its end. OpenTelemetry's exporters bring their settings with them, from the
environment: the endpoint, headers, certificates, compression and timeout.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

from conexiones.adapters.telemetry.exporters_log import heard, hide_headers
from conexiones.adapters.telemetry.resource import (
    Push,
    attributes,
    milliseconds,
    push,
    pushes,
    without_secrets,
)
from conexiones.metrics import Distribution, Instrument, Labels, Metrics, Numbers

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import Metric, MetricExporter, MetricsData

INTERVAL_MS = 60_000
"""Time between two pushes, where OTEL_METRIC_EXPORT_INTERVAL says nothing."""

END_SECONDS = 2.0
"""The longest that the last push may hold up the end of the server."""

SCOPE = "conexiones"

_Figures = list[Numbers | Distribution]

log = logging.getLogger("conexiones.telemetry")


@asynccontextmanager
async def pushed(metrics: Metrics) -> AsyncIterator[None]:
    """Pushes them as long as the block lasts, if the environment asks for it."""
    how = push("metrics")
    if how is None:
        yield
        return
    pushing = MetricsPush(metrics, how, attributes())
    await pushing.open()
    try:
        yield
    finally:
        await pushing.close()


class MetricsPush:
    """`resource` are the attributes of what the figures are of. A failure is logged when it begins, and when
    it is over. Belongs to one event loop."""

    def __init__(self, metrics: Metrics, how: Push, resource: Mapping[str, str]) -> None:
        self._metrics = metrics
        self._how = how
        self._pushes = pushes(metrics)
        self._seconds = milliseconds("OTEL_METRIC_EXPORT_INTERVAL", INTERVAL_MS)
        self._fails = False
        self._thread = _Exporting(how, dict(resource))
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._thread.start()
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Pushes what was counted last, if that does not take long."""
        if self._task:
            self._task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self._once()
        self._thread.end()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            await self._once()

    async def _once(self) -> None:
        why = await self._thread.export(self._metrics.read())
        self._pushes.of("metrics", "failed" if why else "ok").value += 1
        if bool(why) != self._fails:
            self._fails = bool(why)
            if why:
                log.warning(
                    "Metrics cannot be pushed to %s, which is tried again: %s", self._how.endpoint, why
                )
            else:
                log.warning("Metrics are pushed to %s again", self._how.endpoint)


class _Exporting(threading.Thread):
    """The thread. It imports the SDK, which takes a while."""

    def __init__(self, how: Push, resource: dict[str, str]) -> None:
        super().__init__(name="conexiones-metrics-push", daemon=True)
        self._how = how
        self._resource = resource
        self._began = time.time_ns()
        self._asked: queue.SimpleQueue[tuple[_Figures, asyncio.Future[str]] | None] = queue.SimpleQueue()
        self._exporter: MetricExporter | None = None

    async def export(self, figures: _Figures) -> str:
        """Why they could not be exported; empty if they were."""
        done = asyncio.get_running_loop().create_future()
        self._asked.put((figures, done))
        return str(await done)

    def end(self) -> None:
        """Lets the thread end when it has done what it does now."""
        self._asked.put(None)

    def run(self) -> None:
        while (asked := self._asked.get()) is not None:
            figures, done = asked
            why = self._export(figures)
            with suppress(RuntimeError):  # the loop has ended
                done.get_loop().call_soon_threadsafe(_answer, done, why)
        if self._exporter:
            self._exporter.shutdown()

    def _export(self, figures: _Figures) -> str:
        from opentelemetry.sdk.metrics.export import MetricExportResult

        with heard() as said:
            try:
                if self._exporter is None:
                    self._exporter = _exporter(self._how)
                result = self._exporter.export(_data(figures, self._resource, self._began))
            except Exception as error:
                return without_secrets(f"{type(error).__name__}: {error}")
        return "" if result is MetricExportResult.SUCCESS else (*said, "it failed")[0]


def _answer(done: "asyncio.Future[str]", why: str) -> None:
    if not done.done():
        done.set_result(why)


def _exporter(how: Push) -> "MetricExporter":
    """Raises what the exporter does at settings that mean nothing to it."""
    hide_headers()
    if how.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as OverGrpc

        return OverGrpc()
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as OverHttp

    from conexiones.adapters.telemetry.brief_answers import session

    return OverHttp(session=session())


def _data(figures: _Figures, resource: Mapping[str, str], began: int) -> "MetricsData":
    from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    now = time.time_ns()
    found = [_metric(each, began, now) for each in figures if each.series]
    scope = ScopeMetrics(InstrumentationScope(SCOPE, resource.get("service.version")), found, "")
    return MetricsData([ResourceMetrics(Resource(dict(resource)), [scope], "")])


def _metric(one: Numbers | Distribution, began: int, now: int) -> "Metric":
    from opentelemetry.sdk.metrics import export as sdk

    instrument = one.instrument
    data: Any
    if isinstance(one, Distribution):
        unknown = cast(float, None)  # least and largest value, which the protocol need not have
        points = [
            sdk.HistogramDataPoint(
                _attributes(instrument, labels),
                began,
                now,
                sum(counts),
                total,
                counts,
                one.bounds,
                unknown,
                unknown,
            )
            for labels, (counts, total) in one.series.items()
        ]
        data = sdk.Histogram(points, sdk.AggregationTemporality.CUMULATIVE)
    else:
        numbers = [
            sdk.NumberDataPoint(_attributes(instrument, labels), began, now, value)
            for labels, value in one.series.items()
        ]
        data = (
            sdk.Gauge(numbers)
            if one.kind == "gauge"
            else sdk.Sum(numbers, sdk.AggregationTemporality.CUMULATIVE, is_monotonic=True)
        )
    return sdk.Metric(instrument.name, instrument.description, instrument.unit, data)


def _attributes(instrument: Instrument, labels: Labels) -> dict[str, str]:
    """Those that apply."""
    return {name: value for name, value in zip(instrument.labels, labels, strict=True) if value}
