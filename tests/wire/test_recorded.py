"""Real calls of all kinds, in all protocols, as they are decoded from what went over the wire."""

import base64
import json
import socket
from contextlib import suppress
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import grpc
import pytest

from conexiones.gen.conexiones.v1.images_pb2 import DownloadImageRequest, WatchImagesRequest
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.gen.user_pb2 import GetImage, GetUserReply, GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server
from conexiones.wire import unary
from conexiones.wire.events import Event
from tests.support.bitmaps import bitmap
from tests.support.calls import GET_STREAM_IMAGE, GET_USER
from tests.support.waiting import until
from tests.wire.made import envelope
from tests.wire.recorded import header, of, record, record_http1, value

SECONDS = 60


def test_a_call_with_one_message_each_way(shared: Server, somebody: str) -> None:
    async def call(channel: grpc.aio.Channel) -> None:
        request = GetUserRequest(name=somebody, pow=7)
        secret = [("authorization", "Bearer cnx_secret"), ("cookie", "a=secret")]
        await UsuarioServicioStub(channel).GetUser(request, timeout=SECONDS, metadata=secret)

    events = record(shared.address, call)
    assert [event.part.kind for event in events if event.sent][:3] == ["OPEN", "PREFACE", "SETTINGS"]
    (request,) = of(events, "HEADERS", sent=True)
    assert (request.stream, request.part.facts["role"]) == (1, "request")
    assert header(request, ":path") == GET_USER
    assert header(request, ":authority") == shared.address
    assert header(request, "authorization") == "Bearer (hidden)"
    assert header(request, "cookie") == "a=(hidden)"
    assert "secret" not in repr(events)
    (message,) = of(events, "MESSAGE", sent=True)
    assert message.part.message.type == "user.GetUserRequest"
    assert (value(message, "name"), value(message, "pow")) == (somebody, 7)
    assert message.part.facts["prefix"] == f"00{message.part.length:08x}"
    response, trailers = of(events, "HEADERS", sent=False)
    assert (response.part.facts["role"], trailers.part.facts["role"]) == ("response", "trailers")
    (reply,) = of(events, "MESSAGE", sent=False)
    assert reply.part.message.type == "user.GetUserReply"
    assert somebody in value(reply, "message")
    assert [(one.value, one.note) for one in trailers.part.headers if one.name == "grpc-status"] == [
        ("0", "OK")
    ]
    ended = [event.sent for event in events if "END_STREAM" in event.part.flags]
    assert ended == [True, False]
    assert [event.at for event in events] == sorted(event.at for event in events)


def test_an_error_and_its_details(shared: Server) -> None:
    async def call(channel: grpc.aio.Channel) -> None:
        with suppress(grpc.aio.AioRpcError):
            await UsuarioServicioStub(channel).GetUser(GetUserRequest(), timeout=SECONDS)

    events = record(shared.address, call)
    last = of(events, "HEADERS", sent=False)[-1]
    notes = {one.name: one.note for one in last.part.headers}
    assert notes["grpc-status"] == "INVALID_ARGUMENT"
    assert last.part.message.type == "google.rpc.Status"
    assert "EMPTY_NAME" in repr(last.part.message)


def test_an_image_in_fragments(shared: Server, photograph: bytes) -> None:
    async def call(channel: grpc.aio.Channel) -> None:
        stream = UsuarioServicioStub(channel).GetStreamImage(timeout=SECONDS)
        for at in range(0, len(photograph), 100_000):
            await stream.write(GetImage(image=photograph[at : at + 100_000]))
        await stream.done_writing()
        await stream

    events = record(shared.address, call)
    sent = of(events, "MESSAGE", sent=True)
    assert [event.part.facts["number"] for event in sent] == [1, 2, 3, 4]
    assert [value(event, "image") for event in sent] == [100_000, 100_000, 100_000, len(photograph) - 300_000]
    assert len(of(events, "MESSAGE", sent=False)) == 1
    assert len(of(events, "DATA", sent=True)) > 1


def test_streams_both_ways(shared: Server, somebody: str, photograph: bytes) -> None:
    async def users(channel: grpc.aio.Channel) -> None:
        stream = UsuarioServicioStub(channel).GetUserBidiStream(timeout=SECONDS)
        for number in (1, 2):
            await stream.write(GetUserRequest(name=somebody, pow=number))
            await stream.read()
        await stream.done_writing()
        await stream.read()

    async def images(channel: grpc.aio.Channel) -> None:
        requests = iter([GetImage(image=photograph), GetImage(image=b"no image")])
        async for _ in UsuarioServicioStub(channel).ImageStreamReply(requests, timeout=SECONDS):
            pass

    events = record(shared.address, users)
    assert [event.sent for event in events if event.part.kind == "MESSAGE"] == [True, False, True, False]
    assert [value(one, "pow") for one in of(events, "MESSAGE", sent=False)] == [1, 4]
    events = record(shared.address, images)
    assert [value(one, "image") for one in of(events, "MESSAGE", sent=True)] == [len(photograph), 8]
    assert "NOT_AN_IMAGE" in repr(of(events, "MESSAGE", sent=False)[1])


def test_streams_from_the_server(shared: Server) -> None:
    data = b"".join(bitmap(700, 500))
    with shared.client() as client:
        id = client.upload(data).id

    async def download(channel: grpc.aio.Channel) -> None:
        async for _ in ImageServiceStub(channel).DownloadImage(DownloadImageRequest(id=id), timeout=SECONDS):
            pass

    async def watch(channel: grpc.aio.Channel) -> None:
        stream = ImageServiceStub(channel).WatchImages(WatchImagesRequest())
        await stream.read()
        stream.cancel()
        await until(lambda: of(watched, "RST_STREAM", sent=True))

    events = record(shared.address, download)
    assert sum(event.part.length for event in of(events, "MESSAGE", sent=False)) > len(data)
    watched: list[Event] = []
    events = record(shared.address, watch, watched)
    assert of(events, "MESSAGE", sent=False)[0].part.message.type == "conexiones.v1.WatchImagesResponse"
    assert [event.part.facts["error"] for event in of(events, "RST_STREAM", sent=True)] == ["CANCEL"]


@pytest.mark.parametrize("protocol", unary.CONTENT_TYPES)
def test_a_call_over_http_1(shared: Server, somebody: str, protocol: str) -> None:
    def call(path: str) -> None:
        request = GetUserRequest(name=somebody, pow=7)
        reply = unary.call(
            *(path, protocol, shared.address, GET_USER, request, GetUserReply),
            headers={"authorization": "Bearer cnx_secret"},
            seconds=SECONDS,
        )
        assert reply.user.pow_squared == 49

    events = record_http1(shared.address, call)
    assert "secret" not in repr(events)
    (request,) = of(events, "REQUEST", sent=True)
    assert request.part.facts["line"] == f"POST {GET_USER} HTTP/1.1"
    assert request.stream == 1
    (sent,), (got,) = of(events, "MESSAGE", sent=True), of(events, "MESSAGE", sent=False)
    assert (sent.part.message.type, got.part.message.type) == ("user.GetUserRequest", "user.GetUserReply")
    if protocol == "connect":
        assert json.loads(sent.part.message.text) == {"name": somebody, "pow": 7}
        assert json.loads(got.part.message.text)["user"]["powSquared"] == "49"
    else:
        assert value(sent, "name") == somebody
    ends = of(events, "END", sent=False)
    if protocol.startswith("grpc-web"):
        (end,) = ends
        assert ("grpc-status", "0", "OK") in [(one.name, one.value, one.note) for one in end.part.headers]
        assert str(end.part.facts["prefix"]).startswith("80")
    else:
        assert ends == []


@pytest.mark.parametrize("protocol", unary.CONTENT_TYPES)
def test_an_error_over_http_1(shared: Server, protocol: str) -> None:
    def call(path: str) -> None:
        with pytest.raises(unary.Refused) as refused:
            unary.call(
                *(path, protocol, shared.address, GET_USER, GetUserRequest(), GetUserReply),
                headers={},
                seconds=SECONDS,
            )
        assert refused.value.code == 3
        assert "name" in refused.value.message
        assert len(refused.value.details) == 4

    events = record_http1(shared.address, call)
    assert "INVALID_ARGUMENT" in repr(events) or "invalid_argument" in repr(events)
    last = [event.part for event in events if event.part.details or event.part.message][-1]
    shown = last.details if protocol.startswith("connect") else last.message
    for name in ("google.rpc.ErrorInfo", "google.rpc.LocalizedMessage", "EMPTY_NAME"):
        assert name in repr(shown)


class Local(HTTPConnection):
    """HTTP/1.1 over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)

    def posted(self, path: str, body: bytes, **headers: str) -> HTTPResponse:
        self.request("POST", path, body, {name.replace("_", "-"): text for name, text in headers.items()})
        return self.getresponse()


@pytest.mark.parametrize("codec", ["json", "proto"])
def test_a_stream_of_connect(shared: Server, photograph: bytes, codec: str) -> None:
    halves = [photograph[:200_000], photograph[200_000:]]
    messages = [
        json.dumps({"image": base64.b64encode(half).decode()}).encode()
        if codec == "json"
        else GetImage(image=half).SerializeToString()
        for half in halves
    ]

    def call(path: str) -> None:
        connection = Local(path)
        body = b"".join(map(envelope, messages))
        response = connection.posted(GET_STREAM_IMAGE, body, content_type=f"application/connect+{codec}")
        assert response.read()
        connection.close()

    events = record_http1(shared.address, call)
    sent: Any = of(events, "MESSAGE", sent=True)
    assert [event.part.length for event in sent] == [len(message) for message in messages]
    assert {event.part.message.type for event in sent} == {"user.GetImage"}
    (got,) = of(events, "MESSAGE", sent=False)
    assert "1280" in (got.part.message.text if codec == "json" else value(got, "message"))
    (end,) = of(events, "END", sent=False)
    assert (end.part.flags, end.part.message.text) == (("END_STREAM",), "{}")
