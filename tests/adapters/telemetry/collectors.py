"""Collectors of OpenTelemetry for tests: they take metrics by OTLP over HTTP and over gRPC."""

import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

from tests.support.waiting import DEADLINE


class Collector:
    """What has come, and where it is to be sent. While `away`, nothing is taken."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.paths: list[str] = []
        self.away = False
        self._came: queue.SimpleQueue[ExportMetricsServiceRequest] = queue.SimpleQueue()

    def took(self, request: ExportMetricsServiceRequest) -> None:
        self._came.put(request)

    def next(self) -> ExportMetricsServiceRequest:
        return self._came.get(timeout=DEADLINE)

    def next_metrics(self) -> dict[str, Metric]:
        (resource,) = self.next().resource_metrics
        (scope,) = resource.scope_metrics
        return {metric.name: metric for metric in scope.metrics}

    def rest(self) -> list[ExportMetricsServiceRequest]:
        found = []
        while not self._came.empty():
            found.append(self._came.get())
        return found


@contextmanager
def over_http() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.paths.append(self.path)
            if not collector.away:
                collector.took(ExportMetricsServiceRequest.FromString(body))
            self.send_response(400 if collector.away else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def over_grpc() -> Iterator[Collector]:
    collector = Collector()

    class Servicer(MetricsServiceServicer):
        def Export(  # noqa: N802 (the name of the RPC)
            self, request: ExportMetricsServiceRequest, context: grpc.ServicerContext
        ) -> ExportMetricsServiceResponse:
            collector.paths.append("Export")
            if collector.away:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "away")
            collector.took(request)
            return ExportMetricsServiceResponse()

    server = grpc.server(ThreadPoolExecutor(1))
    add_MetricsServiceServicer_to_server(Servicer(), server)
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(None).wait()
