"""One chain is around every call: each method, in each way and however it ends, passes a step of the chain
exactly once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import message_factory
from grpc_health.v1.health_pb2 import HealthCheckRequest
from pyqwest import Client, HTTPTransport, HTTPVersion

from conexiones.gen.conexiones.v1 import images_pb2
from conexiones.testing import Server
from tests.support.bitmaps import bitmap
from tests.support.waiting import DEADLINE
from tests.transport import application
from tests.transport.chain.cases import NO_IMAGE, Caller, Case, Records
from tests.transport.chain.every_method import (
    ENDLESS,
    EXEMPT,
    HEALTH,
    IMAGES,
    SOUND,
    USUARIO,
    methods,
    path_of,
    rpc,
    ways_of,
)
from tests.transport.chain.recorded import DRAINING, RECORD


@asynccontextmanager
async def serving(tmp_path: Path) -> AsyncIterator[tuple[Caller, Records, Server]]:
    with application.serving("tests.transport.chain.recorded", tmp_path / "data") as server:
        async with AsyncExitStack() as stack:
            by_http2 = {}
            for http2, version in ((False, HTTPVersion.HTTP1), (True, HTTPVersion.HTTP2)):
                transport: Any = HTTPTransport(http_version=version)
                by_http2[http2] = Client(await stack.enter_async_context(transport))
            yield Caller(server.address, by_http2), Records(tmp_path / "calls"), server


@pytest.fixture(autouse=True)
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RECORD, str(tmp_path / "calls"))


async def made(client: Caller, cases: list[Case]) -> None:
    """Makes the calls, a few at a time."""
    turns = asyncio.Semaphore(8)

    async def one(case: Case) -> None:
        async with turns, asyncio.timeout(DEADLINE):
            await client.call(case)

    async with asyncio.TaskGroup() as tasks:
        for case in cases:
            tasks.create_task(one(case))


async def check(server: Server, records: Records, cases: list[Case]) -> None:
    """What was written down is what was to be, each call once, when nothing more can come."""
    await records.until("ended", cases)
    await asyncio.to_thread(server.stop)
    lines = records.lines()
    assert Counter(line["case"] for line in lines) == {case.name: 2 for case in cases}
    ended = {line["case"]: line for line in lines if line["event"] == "ended"}
    wrong = [
        f"{ended[case.name]} instead of {case.line()}" for case in cases if ended[case.name] != case.line()
    ]
    assert not wrong, "\n".join(wrong)
    assert "Traceback" not in server.log


def test_no_method_is_left_out() -> None:
    assert SOUND.keys() == {path_of(method) for method in methods()}
    for method in methods():
        assert len(ways_of(method)) == 6


async def test_success(tmp_path: Path) -> None:
    async with serving(tmp_path) as (client, records, server):
        cases = []
        for method in methods():
            endless = path_of(method) in ENDLESS
            for way in ways_of(method):
                timeout = dict([way.timeout]) if endless else {}
                case = rpc(
                    "success",
                    method,
                    way,
                    body=way.body(await SOUND[path_of(method)](client)),
                    headers=way.headers() | timeout,
                    end="DEADLINE_EXCEEDED" if endless else "",
                    handled=True,
                )
                cases.append(case)
        image = f"/images/{await client.image()}"
        cases += [
            Case(name="image", path=image, verb="GET"),
            Case(name="image, its head alone", path=image, verb="HEAD"),
            Case(name="rendition", path=f"{image}?width=16", verb="GET"),
            Case(name="page", path="/", verb="GET", method="page", exempt=("admission",)),
            Case(name="page, its head alone", path="/", verb="HEAD", method="page", exempt=("admission",)),
        ]
        await made(client, cases)
        await check(server, records, cases)


async def test_refusal(tmp_path: Path) -> None:
    async with serving(tmp_path) as (client, records, server):
        cases = [
            rpc(
                "refusal",
                method,
                way,
                body=way.malformed(),
                end="MALFORMED_MESSAGE",
                handled=method.client_streaming,
            )
            for method in methods()
            for way in ways_of(method)
        ]
        cases += [
            Case(name="no such image", path=f"/images/{NO_IMAGE}", verb="GET", end="IMAGE_NOT_FOUND"),
            Case(name="PUT of an image", path="/images/x", verb="PUT", end="MALFORMED_REQUEST"),
            *refused_before_their_route(),
        ]
        await made(client, cases)
        await check(server, records, cases)


def refused_before_their_route() -> list[Case]:
    """Requests that are refused whatever state the server is in."""
    get_user = f"{USUARIO}/GetUser"
    json, text = {"content-type": "application/json"}, {"content-type": "text/plain"}
    known = {"service": "user.UsuarioServicio", "method": "GetUser", "end": "UNKNOWN_PROTOCOL"}
    malformed = {**known, "end": "MALFORMED_REQUEST"}
    soon = json | {"connect-timeout-ms": "soon"}
    nowhere = {"service": "", "method": "", "end": "UNKNOWN_METHOD"}
    cases: dict[str, dict[str, Any]] = {
        "unknown path": {"path": "/nowhere", "verb": "GET", "protocol": "http", **nowhere},
        "unknown method": {"path": f"{get_user}s", "headers": json, **nowhere},
        "wrong verb": {"path": get_user, "verb": "GET", "headers": json, **known},
        "unknown type": {"path": get_user, "headers": text, "body": b"x", "protocol": "http", **known},
        "timeout that is none": {"path": get_user, "headers": soon, **malformed},
    }
    return [
        Case(name=name, exempt=("admission",), **{"protocol": "connect"} | more)
        for name, more in cases.items()
    ]


async def test_cancellation_within_a_request(tmp_path: Path) -> None:
    async with serving(tmp_path) as (client, records, server):
        cases = [
            rpc("cancellation", method, way, end="CANCELLED", handled=method.client_streaming)
            for method in methods()
            for way in ways_of(method)
        ]
        bodies = [way.begun() for method in methods() for way in ways_of(method)]
        calls = [
            asyncio.create_task(client.call(case, begun(body)))
            for case, body in zip(cases, bodies, strict=True)
        ]
        await records.until("begun", cases)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await check(server, records, cases)


async def test_cancellation_within_an_answer(tmp_path: Path) -> None:
    async with serving(tmp_path) as (client, records, server):
        image = b"".join(bitmap(3200, 3200))  # 30 MB: more than fits into the buffers on the way
        image_id = await client.image(image)
        streams = {
            f"{IMAGES}/DownloadImage": images_pb2.DownloadImageRequest(id=image_id),
            f"{IMAGES}/WatchImages": images_pb2.WatchImagesRequest(),
            f"{HEALTH}/Watch": HealthCheckRequest(),
        }
        cases = [
            rpc("leaving", method, way, body=way.body([message]), end="CANCELLED", handled=True)
            for method in methods()
            if (message := streams.get(path_of(method)))
            for way in ways_of(method)
        ]
        cases.append(Case(name="leaving an image", path=f"/images/{image_id}", verb="GET", end="CANCELLED"))
        for case in cases:
            await client.look(case)
        await check(server, records, cases)


async def begun(body: bytes) -> AsyncIterator[bytes]:
    yield body
    await asyncio.Event().wait()


async def test_drain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DRAINING, "1")
    async with serving(tmp_path) as (client, records, server):
        cases = []
        for method in methods():
            served = "admission" in EXEMPT.get(path_of(method), ())
            endless = served and path_of(method) in ENDLESS
            empty = message_factory.GetMessageClass(method.input_type)()
            for way in ways_of(method):
                case = rpc(
                    "drain",
                    method,
                    way,
                    body=way.body([empty]),
                    headers=way.headers() | (dict([way.timeout]) if endless else {}),
                    end="DEADLINE_EXCEEDED" if endless else "" if served else "SERVER_DRAINING",
                    handled=served,
                )
                cases.append(case)
        cases += [
            Case(name="image", path=f"/images/{NO_IMAGE}", verb="GET", end="SERVER_DRAINING"),
            Case(name="PUT of an image", path="/images/x", verb="PUT", end="SERVER_DRAINING"),
            Case(name="page", path="/", verb="GET", method="page", exempt=("admission",)),
            *refused_before_their_route(),
        ]
        await made(client, cases)
        await check(server, records, cases)
