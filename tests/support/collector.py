"""A collector of OpenTelemetry, which takes traces by OTLP over HTTP."""

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.waiting import DEADLINE

SERVER, CLIENT = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT


@dataclass(frozen=True, slots=True)
class Told:
    """A span, with what its resource says."""

    span: Span
    resource: dict[str, Any]

    @property
    def name(self) -> str:
        return self.span.name

    @property
    def trace(self) -> str:
        return self.span.trace_id.hex()

    @property
    def id(self) -> str:
        return self.span.span_id.hex()

    @property
    def parent(self) -> str:
        return self.span.parent_span_id.hex()

    @property
    def failed(self) -> bool:
        return self.span.status.code == 2

    @property
    def attributes(self) -> dict[str, Any]:
        return _values(self.span.attributes)


@dataclass(slots=True)
class Collector:
    """`endpoint` is what OTEL_EXPORTER_OTLP_ENDPOINT takes."""

    endpoint: str = ""
    _spans: list[Told] = field(default_factory=list)
    _came: threading.Condition = field(default_factory=threading.Condition)

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self._came:
            for each in request.resource_spans:
                resource = _values(each.resource.attributes)
                self._spans += [Told(span, resource) for scope in each.scope_spans for span in scope.spans]
            self._came.notify_all()

    def tree(self, trace: str, whole: Callable[[list[Told]], object]) -> list[Told]:
        """The spans of a trace, in the order of their beginnings, once that is true of them."""

        def spans() -> list[Told]:
            found = [one for one in self._spans if one.trace == trace]
            return sorted(found, key=lambda one: one.span.start_time_unix_nano)

        with self._came:
            if not self._came.wait_for(lambda: whole(spans()), DEADLINE):
                raise AssertionError(f"only {[one.name for one in spans()]}")
            return spans()

    def named(self, name: str, count: int = 1) -> list[Told]:
        """The spans of that name, once there are so many."""

        def spans() -> list[Told]:
            return [one for one in self._spans if one.name == name]

        with self._came:
            if not self._came.wait_for(lambda: len(spans()) >= count, DEADLINE):
                raise AssertionError(f"only {[one.name for one in self._spans]}")
            return spans()


@contextmanager
def collector() -> Iterator[Collector]:
    """One that listens on a free port."""
    taken = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            taken.take(body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        taken.endpoint = f"http://127.0.0.1:{server.server_port}"
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield taken
        finally:
            server.shutdown()
            serving.join()


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None
