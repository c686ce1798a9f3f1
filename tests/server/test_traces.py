"""Traces as a collector of OpenTelemetry gets them: of calls, their parts, and clients that try again."""

import asyncio
import http.client
import json
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from conexiones.gen.conexiones.v1.images_pb2 import GetImageRequest
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server, serve
from tests.sdk.proxy import Proxy
from tests.support.bitmaps import bitmap
from tests.support.collector import CLIENT, SERVER, Collector, Told, collector
from tests.support.kept import DECODE_SECONDS
from tests.support.node import PROGRAMS, run
from tests.support.paths import ROOT
from tests.support.scrapes import scraped
from tests.support.waiting import DEADLINE, until

UPLOADS = "conexiones.v1.UploadService"


@pytest.fixture(scope="module")
def traces() -> Iterator[Collector]:
    with collector() as found:
        yield found


@pytest.fixture(scope="module")
def traced(traces: Collector) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", traces.endpoint)
        patch.setenv("OTEL_METRICS_EXPORTER", "none")
        patch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        with serve(
            log_level="trace",
            log_format="json",
            admin_address="127.0.0.1:0",
            decode_seconds=DECODE_SECONDS,
        ) as server:
            yield server


@pytest.fixture(scope="module")
def users(traced: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(traced.address) as channel:
        yield channel


class Caller:
    """Somebody with a trace of their own."""

    def __init__(self) -> None:
        self.trace, self.span = secrets.token_hex(16), secrets.token_hex(8)

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace}-{self.span}-01"

    @property
    def metadata(self) -> list[tuple[str, str]]:
        return [("traceparent", self.traceparent), ("tracestate", "a=1"), ("tracestate", "b=2")]


def names(spans: list[Told]) -> list[str]:
    return [one.name for one in spans]


def test_a_call_is_a_span_of_its_caller(traces: Collector, users: grpc.Channel) -> None:
    caller = Caller()
    UsuarioServicioStub(users).GetUser(
        GetUserRequest(name="Ana", pow=3), metadata=caller.metadata, timeout=DEADLINE
    )
    spans = traces.tree(caller.trace, lambda found: len(found) >= 2)
    call, commit = spans
    assert (call.name, call.parent, call.span.kind) == ("user.UsuarioServicio/GetUser", caller.span, SERVER)
    assert (call.span.trace_state, call.failed) == ("a=1,b=2", False)
    attributes = call.attributes
    assert attributes.pop("client.address") == "127.0.0.1"
    assert attributes.pop("client.port") > 0
    assert attributes.pop("user_agent.original").startswith("grpc-python")
    assert len(attributes.pop("conexiones.request_id")) == 36
    assert attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": "user.UsuarioServicio/GetUser",
        "rpc.response.status_code": "OK",
    }
    assert call.resource["service.name"] == "conexiones"
    assert call.resource["deployment.environment.name"] == "test"
    assert (commit.name, commit.parent) == ("commit", call.id)


def test_a_state_that_need_not_be_passed_on_is_not(traces: Collector, users: grpc.Channel) -> None:
    caller = Caller()
    long = ",".join(f"k{number}=" + "v" * 250 for number in range(4))
    metadata = [("traceparent", caller.traceparent), ("tracestate", long)]
    UsuarioServicioStub(users).GetUser(GetUserRequest(name="Ana"), metadata=metadata, timeout=DEADLINE)
    call, *_ = traces.tree(caller.trace, lambda found: len(found) >= 2)
    assert (call.parent, call.span.trace_state) == (caller.span, "")


@pytest.mark.parametrize("header", ["00-none-01", f"00-{'0' * 32}-{'1' * 16}-01"])
def test_a_malformed_header_begins_a_trace(traces: Collector, users: grpc.Channel, header: str) -> None:
    name = "conexiones.v1.ImageService/GetImage"
    before = len(traces.named(name, 0))
    with pytest.raises(grpc.RpcError) as failed:
        ImageServiceStub(users).GetImage(
            GetImageRequest(id="none"), metadata=[("traceparent", header)], timeout=DEADLINE
        )
    call = traces.named(name, before + 1)[-1]
    assert (call.parent, call.failed) == ("", False)  # what is not found is no failure of the server
    assert call.attributes["rpc.response.status_code"] == "NOT_FOUND"
    assert call.attributes["error.type"] == "IMAGE_NOT_FOUND"
    error: Any = failed.value
    told = dict(error.initial_metadata() or ()) | dict(error.trailing_metadata() or ())
    assert call.attributes["conexiones.request_id"] == told["x-request-id"]


def test_what_is_not_sampled_is_not_sent(traces: Collector, traced: Server, users: grpc.Channel) -> None:
    caller = Caller()
    stub = UsuarioServicioStub(users)
    unsampled = caller.traceparent.removesuffix("1") + "0"
    stub.GetUser(GetUserRequest(name="Eva"), metadata=[("traceparent", unsampled)], timeout=DEADLINE)
    stub.GetUser(GetUserRequest(name="Eva"), metadata=Caller().metadata, timeout=DEADLINE)
    later = Caller()
    stub.GetUser(GetUserRequest(name="Eva"), metadata=later.metadata, timeout=DEADLINE)
    traces.tree(later.trace, len)
    assert traces.tree(caller.trace, lambda _: True) == []


def test_storing_and_rendering_have_their_parts(traces: Collector, traced: Server) -> None:
    image = b"".join(bitmap(64, 48))
    with traced.client() as client:
        stored = client.upload(image)
    call = traces.named(f"{UPLOADS}/UploadImage")[-1]
    spans = traces.tree(call.trace, lambda found: call.id in [one.id for one in found])
    assert names(spans) == [f"{UPLOADS}/UploadImage", "stage", "judge", "commit"]
    caller = Caller()
    path = f"/images/{stored.id}?width=16&signature=secret"
    status, problem = get(traced, f"/images/{stored.id}?width=16", traceparent=caller.traceparent)
    assert status == 200, problem
    spans = traces.tree(caller.trace, lambda found: found and found[0].parent == caller.span)
    top, *parts = spans
    assert top.name == "GET /images/{id}"
    assert top.attributes["http.response.status_code"] == 200
    assert top.attributes["url.path"] == path.partition("?")[0]
    assert "url.query" not in top.attributes
    assert {"decode.wait", "rendition", "decode"} <= set(names(parts))
    by_name = {one.name: one for one in parts}
    assert by_name["rendition"].parent == by_name["decode.wait"].parent == top.id
    assert by_name["decode"].parent == by_name["rendition"].id


def get(server: Server, path: str, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(server.address, timeout=DEADLINE)
    try:
        connection.request("GET", path, headers=headers)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


async def test_lines_of_the_log_have_the_ids_of_the_call(
    traces: Collector, traced: Server, users: grpc.Channel
) -> None:
    caller = Caller()
    status, body = get(traced, "/images/none", traceparent=caller.traceparent)
    problem = json.loads(body)
    (span,) = traces.tree(caller.trace, len)
    assert (status, problem["requestId"]) == (404, span.attributes["conexiones.request_id"])
    await until(lambda: caller.trace in traced.log)
    lines = [json.loads(line) for line in traced.log.splitlines() if caller.trace in line]
    assert [(one["trace_id"], one["span_id"], one["reason"], one["request_id"]) for one in lines] == [
        (caller.trace, span.id, "IMAGE_NOT_FOUND", problem["requestId"])
    ]
    # All lines, also those of Envoy, but the one on standard output that says where the server listens.
    others = [line for line in traced.log.splitlines() if not line.startswith("{")]
    assert len(others) == 1, others


def below(spans: list[Told], name: str) -> list[Told]:
    """The spans of calls that are parts of the span of that name."""
    return [one for one in spans if one.parent in {each.id for each in spans if each.name == name}]


def said(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


def test_the_python_client_is_one_tree_through_a_cut(traces: Collector, traced: Server) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.sdk.traced", traced.address, traces.endpoint],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=4 * DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    outer, failure = said(done.stdout)
    wanted = {
        "conexiones.upload": [f"{UPLOADS}/WriteStream"] * 2 + [f"{UPLOADS}/FinishUpload"],
        "conexiones.image": ["conexiones.v1.ImageService/GetImage"],
    }
    spans = traces.tree(
        outer["trace"],
        lambda found: (
            "program" in names(found)
            and all(Counter(names(below(found, name))) >= Counter(some) for name, some in wanted.items())
        ),
    )
    operations = {one.name: one for one in spans if one.parent == outer["span"]}
    assert all(one.span.kind == CLIENT for one in operations.values())
    assert {
        "conexiones.upload",
        "conexiones.download",
        "conexiones.images",
        "conexiones.upload_many",
        "conexiones.image",
        "conexiones.health",
    } == set(operations)
    calls = {name: [one for one in spans if one.parent == each.id] for name, each in operations.items()}
    sent = names(calls["conexiones.upload"])
    assert sent.count(f"{UPLOADS}/WriteStream") == 2  # one was cut
    assert {f"{UPLOADS}/CreateUpload", f"{UPLOADS}/FinishUpload"} < set(sent)
    assert [event.name for event in operations["conexiones.upload"].span.events] == ["retry"]
    writes = [one for one in calls["conexiones.upload"] if one.name.endswith("WriteStream")]
    parts = [names([one for one in spans if one.parent == write.id]) for write in writes]
    # What was cut may have come to no commit.
    assert all({"stage"} <= set(part) <= {"stage", "commit"} for part in parts), parts
    assert any("commit" in part for part in parts), parts
    (asked,) = calls["conexiones.image"]
    assert asked.attributes["conexiones.request_id"] == failure["request_id"]
    assert operations["conexiones.image"].attributes["error.type"] == "IMAGE_NOT_FOUND"


async def test_the_node_client_is_one_tree_through_a_cut(
    traces: Collector, traced: Server, node: str, tmp_path: Path
) -> None:
    path = tmp_path / "image.bmp"
    path.write_bytes(b"".join(bitmap(1000, 700)))
    api = (ROOT / "tests" / "server" / "otel.mjs").as_uri()
    async with Proxy(traced.address, 0, most_bytes=1, faulty=0, cut_at=1 << 20) as proxy:
        program = (node, f"--import={api}", str(PROGRAMS / "move.js"), "put", str(path))
        output = await asyncio.to_thread(run, *program, CONEXIONES_ADDRESS=proxy.address)
        assert proxy.happened
    (span,) = (line for line in said(output) if "span" in line)
    assert (span["span"], span["kind"]) == ("conexiones.upload", 2)
    assert set(span["events"]) == {"retry"}
    finish = f"{UPLOADS}/FinishUpload"
    wanted = Counter([f"{UPLOADS}/WriteStream"] * 2 + [finish])
    spans = await asyncio.to_thread(
        traces.tree, span["traceId"], lambda found: Counter(names(found)) >= wanted
    )
    calls = [one for one in spans if one.parent == span["spanId"]]
    assert names(calls).count(f"{UPLOADS}/WriteStream") >= 2
    assert {f"{UPLOADS}/CreateUpload", finish} < set(names(calls))


async def test_pushes_are_counted(traces: Collector, traced: Server, users: grpc.Channel) -> None:
    caller = Caller()
    UsuarioServicioStub(users).GetUser(GetUserRequest(name="Ida"), metadata=caller.metadata, timeout=DEADLINE)
    traces.tree(caller.trace, len)
    await until(lambda: pushed(traced, "ok") > 0)
    assert pushed(traced, "failed") == 0


def pushed(server: Server, outcome: str) -> float:
    wanted = {"signal": "traces", "outcome": outcome}
    samples = scraped(server)["conexiones_otlp_pushes"].samples
    return next(sample.value for sample in samples if sample.labels == wanted)


def test_a_collector_that_is_away_costs_nothing(monkeypatch: pytest.MonkeyPatch, start: Any) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:9/v1/traces")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    server = start()
    with server.client() as client:
        for _ in range(50):
            client.get_user("Ana")
    assert server.stop() == 0
    told = [line for line in server.log.splitlines() if "traces" in line.lower()]
    assert 1 <= len(told) <= 2, server.log
    assert "http://127.0.0.1:9/v1/traces" in told[0]
