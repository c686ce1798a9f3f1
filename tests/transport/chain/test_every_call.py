"""One chain is around every call: each method, in each way and however it ends, passes a step of the chain
exactly once."""

import asyncio
import hashlib
import json
import os
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthListRequest
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from pyqwest import Client, HTTPTransport, HTTPVersion, Response

from conexiones.gen.conexiones.v1 import images_pb2, status_pb2, uploads_pb2
from conexiones.gen.user_pb2 import GetImage, GetUserReply, GetUserRequest
from conexiones.routes import SERVICES
from conexiones.services import reflection
from conexiones.testing import Server
from tests.support.bitmaps import bitmap
from tests.support.paths import ROOT
from tests.transport.chain.recorded import CASE, DRAINING, RECORD
from tests.transport.chain.ways import WAYS, Way

SECONDS = 30.0
IMAGE = (ROOT / "client" / "image" / "elephant.jpg").read_bytes()
NO_IMAGE = "00000000-0000-0000-0000-000000000000"

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One call, and what has to be written down of it."""

    name: str
    path: str
    service: str = "http"
    method: str = "images"
    protocol: str = "http"
    end: str = ""
    exempt: tuple[str, ...] = ()
    handled: bool = False
    verb: str = "POST"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    http2: bool = False

    def line(self) -> dict[str, object]:
        return {
            "case": self.name,
            "event": "ended",
            "service": self.service,
            "method": self.method,
            "protocol": self.protocol,
            "path": self.path.partition("?")[0],
            "exempt": list(self.exempt),
            "handled": self.handled,
            "end": self.end,
        }


class Records:
    """What the server has written down."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def lines(self) -> list[dict[str, Any]]:
        if not self._file.exists():
            return []
        complete = self._file.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in complete.splitlines()]

    async def until(self, event: str, cases: list[Case]) -> None:
        """Waits for the event of all the cases."""
        names = {case.name for case in cases}
        async with asyncio.timeout(SECONDS):
            while missing := names - {line["case"] for line in self.lines() if line["event"] == event}:
                assert missing
                await asyncio.sleep(0.05)  # nothing announces what another process writes


class Caller:
    """Calls a server over HTTP/1.1 and HTTP/2."""

    def __init__(self, address: str, by_http2: dict[bool, Client]) -> None:
        self._address = address
        self._by_http2 = by_http2

    async def call(self, case: Case, body: Any = None) -> None:
        """Makes a call, with that body or its own, and reads all of the answer."""
        async with self._stream(case, body or case.body or None) as response:
            async for _ in response.content:
                pass

    async def look(self, case: Case) -> None:
        """Makes a call, and goes away after the first piece of the answer."""
        async with self._stream(case, case.body or None) as response, asyncio.timeout(SECONDS):
            async for _ in response.content:
                return

    def _stream(self, case: Case, body: Any) -> AbstractAsyncContextManager[Response]:
        headers = {**case.headers, CASE.decode(): case.name}
        url = f"http://{self._address}{case.path}"
        return self._by_http2[case.http2].stream(case.verb, url, headers, body)

    async def prepare(self, path: str, request: Message, reply: type[M]) -> M:
        """A call that is not written down."""
        way = WAYS[0]
        client = self._by_http2[way.http2]
        url = f"http://{self._address}{path}"
        answer = await client.execute("POST", url, way.headers(), way.body([request]))
        return reply.FromString(answer.content[5:])

    async def image(self, content: bytes = IMAGE) -> str:
        request = GetUserRequest(image=content)
        stored = await self.prepare("/user.UsuarioServicio/ProcessImage", request, GetUserReply)
        return str(stored.image_info.id)

    async def upload(self, *, full: bool = False) -> str:
        created = await self.prepare(
            "/conexiones.v1.UploadService/CreateUpload",
            uploads_pb2.CreateUploadRequest(request_id=str(uuid.uuid4())),
            uploads_pb2.CreateUploadResponse,
        )
        upload_id = str(created.upload.id)
        if full:
            await self.prepare(
                "/conexiones.v1.UploadService/WriteChunk",
                uploads_pb2.WriteChunkRequest(upload_id=upload_id, data=IMAGE),
                uploads_pb2.WriteChunkResponse,
            )
        return upload_id


def methods() -> Iterator[MethodDescriptor]:
    pool = descriptor_pool.Default()
    for service in (*SERVICES, reflection.CURRENT, reflection.ALPHA):
        yield from pool.FindServiceByName(service).methods


def path_of(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


Requests = Callable[[Caller], Awaitable[list[Message]]]


def always(*messages: Message) -> Requests:
    async def give(client: Caller) -> list[Message]:
        return list(messages)

    return give


def with_image(message: Callable[[str], Message]) -> Requests:
    async def give(client: Caller) -> list[Message]:
        return [message(await client.image())]

    return give


def with_upload(message: Callable[[str], Message], *, full: bool = False) -> Requests:
    async def give(client: Caller) -> list[Message]:
        return [message(await client.upload(full=full))]

    return give


UPLOADS, IMAGES = "/conexiones.v1.UploadService", "/conexiones.v1.ImageService"
HEALTH, USUARIO = "/grpc.health.v1.Health", "/user.UsuarioServicio"

SOUND: dict[str, Requests] = {
    f"{USUARIO}/GetUser": always(GetUserRequest(name="Ana")),
    f"{USUARIO}/ProcessImage": always(GetUserRequest(image=IMAGE)),
    f"{USUARIO}/GetStreamImage": always(GetImage(image=IMAGE[:5000]), GetImage(image=IMAGE[5000:])),
    f"{USUARIO}/ImageStreamReply": always(GetImage(image=IMAGE), GetImage(image=b"no image")),
    f"{USUARIO}/GetUserBidiStream": always(GetUserRequest(name="Ana"), GetUserRequest(name="Zoé")),
    f"{UPLOADS}/GetLimits": always(uploads_pb2.GetLimitsRequest()),
    f"{UPLOADS}/CreateUpload": always(uploads_pb2.CreateUploadRequest(request_id=NO_IMAGE)),
    f"{UPLOADS}/WriteChunk": with_upload(
        lambda one: uploads_pb2.WriteChunkRequest(upload_id=one, data=IMAGE)
    ),
    f"{UPLOADS}/WriteStream": with_upload(
        lambda one: uploads_pb2.WriteStreamRequest(upload_id=one, data=IMAGE)
    ),
    f"{UPLOADS}/GetUpload": with_upload(lambda one: uploads_pb2.GetUploadRequest(id=one)),
    f"{UPLOADS}/FinishUpload": with_upload(
        lambda one: uploads_pb2.FinishUploadRequest(
            id=one, size_bytes=len(IMAGE), sha256=hashlib.sha256(IMAGE).digest()
        ),
        full=True,
    ),
    f"{UPLOADS}/CancelUpload": with_upload(lambda one: uploads_pb2.CancelUploadRequest(id=one)),
    f"{IMAGES}/GetImage": with_image(lambda one: images_pb2.GetImageRequest(id=one)),
    f"{IMAGES}/ListImages": always(images_pb2.ListImagesRequest()),
    f"{IMAGES}/DeleteImage": with_image(lambda one: images_pb2.DeleteImageRequest(id=one)),
    f"{IMAGES}/DownloadImage": with_image(lambda one: images_pb2.DownloadImageRequest(id=one)),
    f"{IMAGES}/WatchImages": always(images_pb2.WatchImagesRequest()),
    "/conexiones.v1.StatusService/GetStatus": always(status_pb2.GetStatusRequest()),
    f"{HEALTH}/Check": always(HealthCheckRequest()),
    f"{HEALTH}/List": always(HealthListRequest()),
    f"{HEALTH}/Watch": always(HealthCheckRequest()),
    **{
        f"/{service}/ServerReflectionInfo": always(ServerReflectionRequest(list_services=""))
        for service in (reflection.CURRENT, reflection.ALPHA)
    },
}
"""Requests that succeed, for every method that there is."""

ENDLESS = {f"{IMAGES}/WatchImages", f"{HEALTH}/Watch"}
"""Calls that end only with their time, or with their client."""

EXEMPT = {f"{IMAGES}/WatchImages": ("drain",)} | {
    f"{HEALTH}/{name}": ("admission",) for name in ("Check", "List", "Watch")
}


def rpc(outcome: str, method: MethodDescriptor, way: Way, **more: Any) -> Case:
    path = path_of(method)
    return Case(
        name=f"{outcome}: {path} by {way.name}",
        path=path,
        service=method.containing_service.full_name,
        method=method.name,
        protocol=way.protocol,
        exempt=EXEMPT.get(path, ()),
        http2=way.http2,
        **{"headers": way.headers(), **more},
    )


def ways_of(method: MethodDescriptor) -> list[Way]:
    streams = method.client_streaming or method.server_streaming
    return [way for way in WAYS if way.carries(streams=streams)]


@asynccontextmanager
async def serving(tmp_path: Path) -> AsyncIterator[tuple[Caller, Records, Server]]:
    with Server(tmp_path / "data", {}, ["-m", "tests.transport.chain.recorded"]) as server:
        server.start()
        async with AsyncExitStack() as stack:
            clients = {}
            for http2, version in ((False, HTTPVersion.HTTP1), (True, HTTPVersion.HTTP2)):
                transport: Any = HTTPTransport(http_version=version)
                clients[http2] = Client(await stack.enter_async_context(transport))
            yield Caller(server.address, clients), Records(tmp_path / "calls"), server


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'src'}")
    monkeypatch.setenv(RECORD, str(tmp_path / "calls"))


async def made(client: Caller, cases: list[Case]) -> None:
    """Makes the calls, a few at a time."""
    turns = asyncio.Semaphore(8)

    async def one(case: Case) -> None:
        async with turns, asyncio.timeout(SECONDS):
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
    json = {"content-type": "application/json"}
    known = {"service": "user.UsuarioServicio", "method": "GetUser", "end": "MALFORMED_REQUEST"}
    nowhere = {"service": "", "method": "", "end": "UNKNOWN_METHOD"}
    cases: dict[str, dict[str, Any]] = {
        "unknown path": {"path": "/nowhere", "verb": "GET", **nowhere},
        "unknown method": {"path": f"{get_user}s", "headers": json, **nowhere},
        "wrong verb": {"path": get_user, "verb": "GET", **known},
        "unknown type": {"path": get_user, "headers": {"content-type": "text/plain"}, "body": b"x", **known},
        "timeout that is none": {"path": get_user, "headers": json | {"connect-timeout-ms": "soon"}, **known},
    }
    return [
        Case(name=name, protocol="connect", exempt=("admission",), **more) for name, more in cases.items()
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
