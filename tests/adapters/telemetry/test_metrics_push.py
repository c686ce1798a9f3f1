"""Metrics that are pushed to a collector by OTLP."""

import asyncio
import logging
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager

import grpc
import pytest

from conexiones import __version__
from conexiones.adapters.telemetry.metrics_push import pushed
from conexiones.gen import user_pb2, user_pb2_grpc
from conexiones.metrics import Metrics
from conexiones.testing import Server
from tests.adapters.telemetry.collectors import Collector, over_grpc, over_http
from tests.support.waiting import DEADLINE, until

BOTH = pytest.mark.parametrize(
    ("protocol", "collecting"), [("http/protobuf", over_http), ("grpc", over_grpc)], ids=["http", "grpc"]
)


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets variables of OpenTelemetry, for this process and for servers that it starts."""

    def set_all(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(f"OTEL_{name}", value)

    return set_all


@BOTH
def test_a_collector_gets_what_the_server_measures(
    start: Callable[..., Server],
    environ: Callable[..., None],
    protocol: str,
    collecting: Callable[[], AbstractContextManager[Collector]],
    photograph: bytes,
) -> None:
    with collecting() as collector:
        environ(
            EXPORTER_OTLP_ENDPOINT=collector.endpoint,
            EXPORTER_OTLP_PROTOCOL=protocol,
            METRIC_EXPORT_INTERVAL="200",
            TRACES_EXPORTER="none",
            RESOURCE_ATTRIBUTES="team=x%20y",
        )
        server = start()
        with grpc.insecure_channel(server.address) as channel:
            stub = user_pb2_grpc.UsuarioServicioStub(channel)
            stub.GetUser(user_pb2.GetUserRequest(name="Ana"), timeout=DEADLINE)
        (resource,) = collector.next().resource_metrics
        told = {each.key: each.value.string_value for each in resource.resource.attributes}
        assert (told["service.name"], told["service.version"], told["team"]) == (
            "conexiones",
            __version__,
            "x y",
        )
        while "rpc.server.call.duration" not in (found := collector.next_metrics()):
            pass
        with grpc.insecure_channel(server.address) as channel:
            # Starts a decoder: the library of gRPC would warn of a process that forks.
            stub = user_pb2_grpc.UsuarioServicioStub(channel)
            stub.ProcessImage(user_pb2.GetUserRequest(image=photograph), timeout=DEADLINE)
        assert server.stop() == 0
        assert re.findall("WARNING|ERROR|fork", server.log) == [], server.log
    (point,) = found["rpc.server.call.duration"].histogram.data_points
    assert {each.key: each.value.string_value for each in point.attributes} == {
        "rpc.system.name": "grpc",
        "rpc.method": "user.UsuarioServicio/GetUser",
        "rpc.response.status_code": "OK",
    }
    assert (point.count, sum(point.bucket_counts)) == (1, 1)
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
    assert found["conexiones.calls"].sum.is_monotonic
    assert found["conexiones.calls.active"].gauge.data_points


async def test_what_was_counted_last_is_pushed_at_the_end(environ: Callable[..., None]) -> None:
    metrics = Metrics()
    counter = metrics.counter("things", "{thing}", "Things.")
    with over_http() as collector:
        environ(EXPORTER_OTLP_METRICS_ENDPOINT=f"{collector.endpoint}/v1/metrics")
        async with pushed(metrics):
            counter.value += 7
        found = collector.next_metrics()
        assert found["things"].sum.data_points[0].as_double == 7
        assert collector.paths == ["/v1/metrics"]


@BOTH
async def test_a_failure_is_logged_when_it_begins_and_when_it_is_over(
    environ: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    protocol: str,
    collecting: Callable[[], AbstractContextManager[Collector]],
) -> None:
    monkeypatch.setattr(logging.getLogger("opentelemetry"), "level", logging.CRITICAL)  # as traces have it
    metrics = Metrics()
    metrics.counter("things", "{thing}", "Things.")
    with collecting() as collector:
        environ(
            EXPORTER_OTLP_ENDPOINT=collector.endpoint,
            EXPORTER_OTLP_PROTOCOL=protocol,
            METRIC_EXPORT_INTERVAL="1",
        )
        collector.away = True
        async with pushed(metrics):
            await until(lambda: len(collector.paths) > 5)
            collector.away = False
            await asyncio.to_thread(collector.next)
            await asyncio.to_thread(collector.next)
    (pushes,) = (each.series for each in metrics.read() if each.instrument.name == "conexiones.otlp.pushes")
    assert set(pushes) == {("metrics", "failed"), ("metrics", "ok")}
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith(f"Metrics cannot be pushed to {collector.endpoint}, which is tried again: ")
    assert not first.endswith(": it failed"), "the cause is told"
    assert second == f"Metrics are pushed to {collector.endpoint} again"


async def test_a_collector_that_never_answers_holds_up_nothing(environ: Callable[..., None]) -> None:
    metrics = Metrics()
    metrics.counter("things", "{thing}", "Things.")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environ(
            EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{silent.getsockname()[1]}",
            EXPORTER_OTLP_TIMEOUT="600",
        )
        async with asyncio.timeout(DEADLINE), pushed(metrics):
            pass


def test_nothing_of_the_sdk_is_imported_unless_it_is_wanted() -> None:
    program = (
        "import sys; import conexiones.app; from conexiones.settings import Settings;"
        " conexiones.app.build(Settings.load({}));"
        " print([name for name in sys.modules if name.partition('.')[0]"
        " in ('opentelemetry', 'prometheus_client', 'grpc', 'requests')])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"
