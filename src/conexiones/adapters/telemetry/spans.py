"""Spans for OpenTelemetry: recorded by its SDK and sent by OTLP, as the variables OTEL_* say.

Its packages are loaded only where there is a collector to send to: they take some 30 MB.
"""

import asyncio
import logging
import threading
from collections.abc import Sequence
from contextlib import suppress

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TraceState,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)
from opentelemetry.trace import Span as ApiSpan
from opentelemetry.trace import Tracer as ApiTracer

from conexiones import __version__
from conexiones.adapters.telemetry import resource
from conexiones.adapters.telemetry.exporters_log import heard, hide_headers
from conexiones.metrics import Counters, Metrics
from conexiones.tracing import Attributes, Parent, Span

MOST_CHILDREN = 200
"""Parts of a call that are recorded. A stream may have millions: further ones are counted."""

END_SECONDS = 3.0
"""How long the end of the server waits for a collector to take the last spans."""

LEFT_OUT = "conexiones.spans_left_out"

_NOWHERE = Context()

_log = logging.getLogger("conexiones.traces")


class _Call:
    """What all spans of a call have in common."""

    __slots__ = ("children", "tracer")

    def __init__(self, tracer: ApiTracer) -> None:
        self.tracer = tracer
        self.children = 0


class OtelSpan:
    """A Span. `root` says that it is that of the call."""

    __slots__ = ("_call", "_root", "_span", "recording")

    def __init__(self, span: ApiSpan, call: _Call, *, root: bool = False) -> None:
        self.recording = span.is_recording()
        self._span = span
        self._call = call
        self._root = root

    @property
    def trace_id(self) -> str:
        return format_trace_id(self._span.get_span_context().trace_id)

    @property
    def span_id(self) -> str:
        return format_span_id(self._span.get_span_context().span_id)

    def child(self, name: str, attributes: Attributes) -> Span:
        call = self._call
        call.children += 1
        if call.children > MOST_CHILDREN:
            return _Left(self.trace_id, self.span_id)
        within = set_span_in_context(self._span, _NOWHERE)
        return OtelSpan(call.tracer.start_span(name, within, attributes=dict(attributes)), call)

    def set(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def end(self, problem: str = "", *, failed: bool = False) -> None:
        if self.recording:
            if problem:
                self._span.set_attribute("error.type", problem)
            if failed:
                self._span.set_status(StatusCode.ERROR, problem)
            if self._root and self._call.children > MOST_CHILDREN:
                self._span.set_attribute(LEFT_OUT, self._call.children - MOST_CHILDREN)
        self._span.end()


class _Left:
    """A part of a call that is not recorded. To logs, it has the ids of what it is a part of."""

    __slots__ = ("recording", "span_id", "trace_id")

    def __init__(self, trace_id: str, span_id: str) -> None:
        self.trace_id, self.span_id, self.recording = trace_id, span_id, False

    def child(self, name: str, attributes: Attributes) -> Span:
        return self

    def set(self, attributes: Attributes) -> None:
        pass

    def end(self, problem: str = "", *, failed: bool = False) -> None:
        pass


class OtelTracer:
    """A Tracer. What it records is kept in a queue of limited length, and sent by a thread: if the collector
    takes too little, spans are lost, and nobody waits."""

    def __init__(self, push: resource.Push, *, metrics: Metrics | None = None) -> None:
        self._push = push
        self._pushes = resource.pushes(metrics or Metrics())
        self._exporter: SpanExporter
        self._processor: BatchSpanProcessor
        self._tracer: ApiTracer

    def open(self) -> None:
        """Sampler, limits and the queue are those of OTEL_*."""
        hide_headers()
        self._exporter = _exporter(self._push)
        self._processor = BatchSpanProcessor(_Told(self._exporter, self._push.endpoint, self._pushes))
        provider = TracerProvider(resource=Resource.create(resource.attributes()), shutdown_on_exit=False)
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("conexiones", __version__)
        # From here on, each failure would be lines of its own; _Told says it once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)

    def call(self, name: str, *, parent: Parent | None, state: bytes, begun: int) -> Span:
        within = _NOWHERE if parent is None else set_span_in_context(_remote(parent, state), _NOWHERE)
        span = self._tracer.start_span(name, within, kind=SpanKind.SERVER, start_time=begun)
        return OtelSpan(span, _Call(self._tracer), root=True)

    async def close(self) -> None:
        """Sends what is left, for at most END_SECONDS."""
        loop, sent = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._processor.shutdown()  # type: ignore[no-untyped-call]  # (of the SDK)
            with suppress(RuntimeError):  # the loop has ended before
                loop.call_soon_threadsafe(sent.set)

        # A daemon, so that the process may end while it still waits for a collector that does not answer.
        threading.Thread(target=shut_down, name="traces-end", daemon=True).start()
        try:
            async with asyncio.timeout(END_SECONDS):
                await sent.wait()
        except TimeoutError:
            endpoint = self._push.endpoint
            _log.warning("%s has not taken the last traces within %g seconds", endpoint, END_SECONDS)
            threading.Thread(target=self._exporter.shutdown, name="traces-cut", daemon=True).start()


class _Told(SpanExporter):
    """An exporter whose failures are logged once, with their cause, until it succeeds again, and counted."""

    def __init__(self, exporter: SpanExporter, endpoint: str, pushes: Counters) -> None:
        self._exporter = exporter
        self._endpoint = endpoint
        self._taken, self._refused = (pushes.of("traces", outcome) for outcome in ("ok", "failed"))
        self._fails = False
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with heard() as said:
            try:
                result = self._exporter.export(spans)
            except Exception as error:
                said.append(resource.without_secrets(f"{type(error).__name__}: {error}"))
                result = SpanExportResult.FAILURE
        taken = result is SpanExportResult.SUCCESS
        (self._taken if taken else self._refused).value += 1
        if taken:
            if self._fails:
                _log.warning("Traces are sent to %s again; %d spans are lost", self._endpoint, self._lost)
            self._fails, self._lost = False, 0
            return result
        if not self._fails:
            why = (*said, "it failed")[0]
            _log.error("%s does not take traces; it is tried again: %s", self._endpoint, why)
        self._fails = True
        self._lost += len(spans)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _remote(parent: Parent, state: bytes) -> ApiSpan:
    return NonRecordingSpan(
        SpanContext(
            int(parent.trace_id, 16),
            int(parent.span_id, 16),
            is_remote=True,
            trace_flags=TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT),
            trace_state=TraceState.from_header([state.decode("latin-1")]) if state else TraceState(),
        )
    )


def _exporter(push: resource.Push) -> SpanExporter:
    if push.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as OverGrpc

        return OverGrpc()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as OverHttp

    from conexiones.adapters.telemetry.brief_answers import session

    return OverHttp(session=session())
