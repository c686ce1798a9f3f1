"""Traces that cannot be sent: by what OTEL_* say, or since the collector refuses them."""

import logging
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from conexiones.adapters.telemetry.traces import Traces, tracer
from conexiones.metrics import Metrics
from tests.support.waiting import until


@pytest.mark.parametrize(
    "wrong",
    [
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_COMPRESSION": "zstd"},
        {"OTEL_BSP_MAX_QUEUE_SIZE": "0"},
        {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "-1"},
    ],
)
def test_what_the_sdk_does_not_take_is_said_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str]
) -> None:
    traces = asked(monkeypatch, "http://127.0.0.1:9", wrong)
    with pytest.raises(ValueError, match=r"Traces cannot be sent as the variables OTEL_\* say: ") as raised:
        traces.open()
    assert "\n" not in str(raised.value)


async def test_the_cause_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(logging.getLogger("opentelemetry"), "level", logging.NOTSET)
    with ThreadingHTTPServer(("127.0.0.1", 0), Refuses) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        traces = asked(monkeypatch, endpoint, {"OTEL_BSP_SCHEDULE_DELAY": "1"})
        traces.open()
        traces.call("GET /", parent=None, state=b"", begun=time.time_ns()).end()
        await until(lambda: bool(caplog.records))
        await traces.close()
        server.shutdown()
    (told,) = (record.getMessage() for record in caplog.records)
    assert told.startswith(f"{endpoint} does not take traces; it is tried again: ")
    assert "401" in told
    assert "Who are you?" in told


class Refuses(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(401, "Who are you?")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def asked(monkeypatch: pytest.MonkeyPatch, endpoint: str, further: dict[str, str]) -> Traces:
    for name, value in {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, **further}.items():
        monkeypatch.setenv(name, value)
    found = tracer(Metrics())
    assert found is not None
    return found
