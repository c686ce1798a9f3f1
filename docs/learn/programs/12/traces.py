import os
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from conexiones.gen import user_pb2, user_pb2_grpc
from conexiones.testing import serve

spans = []


class Collector(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                spans.extend(span for scope in resource.scope_spans for span in scope.spans)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


collector = HTTPServer(("127.0.0.1", 0), Collector)
Thread(target=collector.serve_forever, daemon=True).start()
os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{collector.server_port}"
os.environ["OTEL_METRICS_EXPORTER"] = "none"

traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
print("sent", traceparent)
with serve() as server, grpc.insecure_channel(server.address) as channel:
    stub = user_pb2_grpc.UsuarioServicioStub(channel)
    request = user_pb2.GetUserRequest(name="Nora")
    stub.GetUser(request, timeout=10, metadata=[("traceparent", traceparent)])
collector.shutdown()

names = {span.span_id: span.name for span in spans}
for span in sorted(spans, key=lambda span: span.start_time_unix_nano):
    parent = names.get(span.parent_span_id, span.parent_span_id.hex())
    print(span.trace_id.hex(), span.name, "of", parent)
