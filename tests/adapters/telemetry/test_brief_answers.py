"""A collector that answers without an end fills no memory, and holds up no push."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData
from opentelemetry.sdk.trace.export import SpanExportResult

from conexiones.adapters.telemetry import brief_answers, metrics_push, spans
from conexiones.adapters.telemetry.brief_answers import MOST_BYTES, BriefAnswers, session
from conexiones.adapters.telemetry.resource import Push
from tests.support.certificates import authority
from tests.support.waiting import DEADLINE


@pytest.fixture
def endless() -> Iterator[str]:
    """The URL of a server whose answers to POST have no end, and to GET MOST_BYTES. Those to PUT have no end
    either, and a byte now and then."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                while True:
                    self.wfile.write(bytes(1 << 16))

        def do_PUT(self) -> None:
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                while True:
                    self.wfile.write(b":")
                    time.sleep(0.005)

        def do_GET(self) -> None:
            self.send_response(404)
            self.end_headers()
            self.wfile.write(b"x" * MOST_BYTES)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("exporter", "data", "success"),
    [
        (spans._exporter, [], SpanExportResult.SUCCESS),
        (metrics_push._exporter, MetricsData([]), MetricExportResult.SUCCESS),
    ],
    ids=["traces", "metrics"],
)
def test_its_status_counts(
    endless: str,
    monkeypatch: pytest.MonkeyPatch,
    exporter: Callable[[Push], Any],
    data: object,
    success: object,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endless)
    one = exporter(Push("http/protobuf", endless))
    try:
        assert one.export(data) is success
    finally:
        one.shutdown()


def test_the_ca_of_the_collector_counts_more_than_that_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, machine = authority(tmp_path / "ours"), authority(tmp_path / "machine")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(machine / "ca.pem"))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        secured = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        secured.load_cert_chain(ours / "server.pem", ours / "server.key")
        server.socket = secured.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"https://localhost:{server.server_port}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(ours / "ca.pem"))
        exporter = spans._exporter(Push("http/protobuf", endpoint))
        try:
            assert exporter.export([]) is SpanExportResult.SUCCESS
        finally:
            exporter.shutdown()
            server.shutdown()


def test_a_short_answer_is_read(endless: str) -> None:
    with BriefAnswers() as brief:
        answer = brief.get(endless, timeout=DEADLINE)
        assert (answer.status_code, answer.content) == (404, b"x" * MOST_BYTES)


def test_an_answer_that_comes_slowly_is_left(endless: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brief_answers, "ANSWER_SECONDS", 0.1)
    with BriefAnswers() as brief:
        answer = brief.put(endless, timeout=DEADLINE)
        assert (answer.status_code, answer.content) == (200, b"")


def test_a_session_with_credentials_of_ones_own_stays() -> None:
    assert session({"OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER": "mine"}) is None
    assert session({"OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER": "mine"}) is None
    assert isinstance(session({}), BriefAnswers)
