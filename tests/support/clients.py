"""One call through every kind of client, and what came back in one form for all.

    CLIENTS   name → client: a function of an address and calls, which gives one Outcome for each call
    curl      one HTTP request as it is, for what no client would send

The clients send a message's bytes untouched, so that they can also send what is no message.
"""

import asyncio
import base64
import json
import os
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import MessageToDict, MessageToJson
from google.protobuf.message import Message
from google.rpc import error_details_pb2  # noqa: F401 (so that their Any can be unpacked)
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2  # noqa: F401 (so that its methods are known)
from pyqwest import HTTPVersion, SyncClient, SyncHTTPTransport

from conexiones.errors import Code
from conexiones.gen import user_pb2  # noqa: F401 (so that its methods are known)
from conexiones.gen.conexiones.v1 import errors_pb2  # noqa: F401
from tests.support.paths import WEB

SECONDS = 60
"""How long any one call may take."""

_CONNECT_CODES = {"canceled" if code is Code.CANCELLED else code.name.lower(): int(code) for code in Code}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """`messages` are protobuf; `json` the same as JSON, needed only where protobuf cannot read `messages`."""

    name: str
    path: str
    messages: tuple[bytes, ...]
    json: tuple[bytes, ...] = ()

    def __str__(self) -> str:
        return self.name

    @property
    def streams(self) -> bool:
        method = _method(self.path)
        return method is not None and method.client_streaming

    @property
    def replies_stream(self) -> bool:
        method = _method(self.path)
        return method is not None and method.server_streaming

    def as_json(self) -> tuple[bytes, ...]:
        if self.json or not self.messages:
            return self.json
        method = _method(self.path)
        if method is None:
            return (b"{}",) * len(self.messages)
        kind = message_factory.GetMessageClass(method.input_type)
        return tuple(MessageToJson(kind.FromString(message)).encode() for message in self.messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a client got: replies and details in their JSON form, without times and with ids as "…". Errors
    within replies are without `details`, which they do not have in JSON."""

    code: int
    message: str
    details: tuple[dict[str, Any], ...] = ()
    replies: tuple[dict[str, Any], ...] = ()
    http: int = field(default=0, compare=False)

    @property
    def reason(self) -> str:
        return str(next((detail["reason"] for detail in self.details if "domain" in detail), ""))


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response; `headers` includes the trailers."""

    status: int
    headers: dict[str, str]
    body: bytes


Headers = dict[str, bytes | str]
Client = Callable[[str, Sequence[Call]], list[Outcome]]
Send = Callable[[str, str, bytes, Headers], Response]


def readable(details: Iterable[Message]) -> tuple[dict[str, Any], ...]:
    """The details but for the id of the request, of which no two are alike."""
    named = [(detail.DESCRIPTOR.full_name, detail) for detail in details]
    return tuple(
        {"@type": name, **MessageToDict(detail)} for name, detail in named if name != "google.rpc.RequestInfo"
    )


def need(program: str, how: str) -> str:
    """The program's path. Without it the test is skipped, and fails in CI."""
    found = shutil.which(program)
    if not found:
        reason = f"{program} is missing: {how}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@cache
def node() -> str:
    """Node.js, once the packages of tests/web are there."""
    program = need("node", "make test sets it up")
    if not (WEB / "node_modules").is_dir():
        npm = need("npm", "make test sets it up")
        subprocess.run([npm, "ci", "--prefix", str(WEB), "--silent"], check=True)
    return program


# grpcio

RAW: tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]] = (bytes, bytes)
"""Neither direction is encoded or decoded."""


def grpcio(address: str, calls: Sequence[Call]) -> list[Outcome]:
    with grpc.insecure_channel(address) as channel:
        return [_grpcio(channel, call) for call in calls]


def grpcio_gzip(address: str, calls: Sequence[Call]) -> list[Outcome]:
    with grpc.insecure_channel(address, compression=grpc.Compression.Gzip) as channel:
        return [_grpcio(channel, call) for call in calls]


def _grpcio(channel: grpc.Channel, call: Call) -> Outcome:
    replies: list[bytes] = []
    try:
        if call.replies_stream:
            replies += channel.stream_stream(call.path, *RAW)(iter(call.messages), timeout=SECONDS)
        elif call.streams:
            replies.append(channel.stream_unary(call.path, *RAW)(iter(call.messages), timeout=SECONDS))
        else:
            replies.append(channel.unary_unary(call.path, *RAW)(call.messages[0], timeout=SECONDS))
    except grpc.RpcError as error:
        return _refused(error, error.trailing_metadata(), call, replies)
    return _served(call, replies)


def grpcio_asyncio(address: str, calls: Sequence[Call]) -> list[Outcome]:
    async def ask_all() -> list[Outcome]:
        async with grpc.aio.insecure_channel(address) as channel:
            return [await _grpcio_asyncio(channel, call) for call in calls]

    return asyncio.run(ask_all())


async def _grpcio_asyncio(channel: grpc.aio.Channel, call: Call) -> Outcome:
    replies: list[bytes] = []
    try:
        if call.replies_stream:
            async for reply in channel.stream_stream(call.path, *RAW)(iter(call.messages), timeout=SECONDS):
                replies.append(reply)  # noqa: PERF401 (those before an error count)
        elif call.streams:
            replies.append(await channel.stream_unary(call.path, *RAW)(iter(call.messages), timeout=SECONDS))
        else:
            replies.append(await channel.unary_unary(call.path, *RAW)(call.messages[0], timeout=SECONDS))
    except grpc.aio.AioRpcError as error:
        return _refused(error, error.trailing_metadata(), call, replies)
    return _served(call, replies)


def _refused(error: Any, trailers: Any, call: Call, replies: list[bytes]) -> Outcome:
    details = dict(trailers or ()).get("grpc-status-details-bin", b"")
    return grpc_outcome(error.code().value[0], error.details(), details, call, replies)


# grpc-js


def grpc_js(address: str, calls: Sequence[Call]) -> list[Outcome]:
    given = [
        {
            "path": call.path,
            "messages": [_encode(message) for message in call.messages],
            "streams": call.streams,
            "repliesStream": call.replies_stream,
        }
        for call in calls
    ]
    ran = subprocess.run(
        [node(), str(WEB / "grpc_js.mjs"), address],
        input=json.dumps(given).encode(),
        stdout=subprocess.PIPE,
        check=True,
        timeout=SECONDS,
    )
    found = [json.loads(line) for line in ran.stdout.splitlines()]
    return [
        grpc_outcome(
            answer["code"],
            answer["message"],
            base64.b64decode(answer["details"]),
            call,
            [base64.b64decode(reply) for reply in answer["replies"]],
        )
        for call, answer in zip(calls, found, strict=True)
    ]


# curl


def curl(
    address: str,
    path: str,
    body: bytes,
    headers: Headers,
    *,
    method: str = "POST",
) -> Response:
    """One HTTP/1.1 request, as it is."""
    with tempfile.TemporaryDirectory() as folder:
        head, content = Path(folder) / "head", Path(folder) / "content"
        command: list[str | bytes] = [need("curl", "apt install curl"), "-sS", "-X", method]
        command += ["--max-time", str(SECONDS), "-D", str(head), "-o", str(content), "-H", "expect:"]
        for name, value in headers.items():
            raw = value if isinstance(value, bytes) else value.encode()
            command += ["-H", name.encode() + b": " + raw]
        if method == "POST":
            command += ["--data-binary", "@-"]
        subprocess.run([*command, f"http://{address}{path}"], input=body, check=True)
        lines = head.read_text("utf-8").splitlines()
        pairs = (line.partition(":") for line in lines if ":" in line)
        return Response(
            status=int(lines[0].split()[1]),
            headers={name.lower(): value.strip() for name, _, value in pairs},
            body=content.read_bytes() if content.exists() else b"",
        )


def enveloped(messages: Iterable[bytes], *, flags: int = 0) -> bytes:
    """Messages in the frames that gRPC, gRPC-Web and Connect streams have in common."""
    return b"".join(struct.pack(">BI", flags, len(message)) + message for message in messages)


def envelopes(body: bytes) -> Iterator[tuple[int, bytes]]:
    """The flags and the content of each frame."""
    while body:
        flags, length = struct.unpack_from(">BI", body)
        yield flags, body[5 : 5 + length]
        body = body[5 + length :]


def http2(address: str, path: str, body: bytes, headers: Headers, *, method: str = "POST") -> Response:
    """One HTTP/2 request, not by curl: 7.88 loses a response that comes before the request is sent."""
    given = {name: value if isinstance(value, str) else value.decode() for name, value in headers.items()}
    with SyncHTTPTransport(http_version=HTTPVersion.HTTP2) as transport:
        got = SyncClient(transport).execute(method, f"http://{address}{path}", given, body)
    return Response(got.status, dict(got.headers.items()) | dict(got.trailers.items()), got.content)


def raw_grpc(address: str, calls: Sequence[Call]) -> list[Outcome]:
    headers: Headers = {"content-type": "application/grpc", "te": "trailers"}
    return [grpc_answer(http2(address, call.path, enveloped(call.messages), headers), call) for call in calls]


def grpc_web_binary(address: str, calls: Sequence[Call]) -> list[Outcome]:
    headers: Headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
    return [
        grpc_web_answer(curl(address, call.path, enveloped(call.messages), headers), call) for call in calls
    ]


def grpc_web_text(address: str, calls: Sequence[Call]) -> list[Outcome]:
    headers: Headers = {
        "content-type": "application/grpc-web-text",
        "accept": "application/grpc-web-text",
    }
    return [
        grpc_web_answer(
            curl(address, call.path, base64.b64encode(enveloped(call.messages)), headers), call, text=True
        )
        for call in calls
    ]


def connect(codec: str, send: Send) -> Client:
    """A client of the Connect protocol: unary calls as bare messages, the others as streams."""

    def ask(address: str, call: Call) -> Outcome:
        messages = call.as_json() if codec == "json" else call.messages
        if call.streams:
            headers: Headers = {"content-type": f"application/connect+{codec}"}
            return connect_stream_answer(send(address, call.path, enveloped(messages), headers), call, codec)
        headers = {"content-type": f"application/{codec}"}
        return connect_answer(send(address, call.path, messages[0], headers), call, codec)

    return lambda address, calls: [ask(address, call) for call in calls]


def grpc_answer(response: Response, call: Call) -> Outcome:
    assert response.status == 200
    assert response.headers["content-type"].startswith("application/grpc")
    replies = [content for _, content in envelopes(response.body)]
    return _from_trailers(response.headers, call, replies)


def grpc_web_answer(response: Response, call: Call, *, text: bool = False) -> Outcome:
    assert response.status == 200
    expected = "application/grpc-web-text" if text else "application/grpc-web"
    assert response.headers["content-type"] in {expected, f"{expected}+proto"}
    body = response.body
    if text:
        # Each piece is base64 by itself, with its own padding.
        body = b"".join(base64.b64decode(piece) for piece in re.findall(rb"[^=]+=*", body))
    trailers, replies = dict(response.headers), []
    for flags, content in envelopes(body):
        if flags & 0x80:
            lines = (line.partition(":") for line in content.decode().split("\r\n") if line)
            trailers |= {name.lower(): value.strip() for name, _, value in lines}
        else:
            replies.append(content)
    return _from_trailers(trailers, call, replies)


def _from_trailers(trailers: dict[str, str], call: Call, replies: list[bytes]) -> Outcome:
    details = trailers.get("grpc-status-details-bin", "")
    return grpc_outcome(
        int(trailers["grpc-status"]),
        unquote(trailers.get("grpc-message", "")),
        base64.b64decode(details + "=" * (-len(details) % 4)),
        call,
        replies,
    )


def connect_answer(response: Response, call: Call, codec: str) -> Outcome:
    if response.status == 200:
        assert response.headers["content-type"] == f"application/{codec}"
        return _served(call, [response.body], json_codec=codec == "json", http=200)
    assert response.headers["content-type"] == "application/json"
    return _connect_error(json.loads(response.body), call, [], codec, response.status)


def connect_stream_answer(response: Response, call: Call, codec: str) -> Outcome:
    assert response.status == 200
    assert response.headers["content-type"] == f"application/connect+{codec}"
    found = list(envelopes(response.body))
    assert [flags for flags, _ in found] == [0] * (len(found) - 1) + [2]
    replies = [content for _, content in found[:-1]]
    end = json.loads(found[-1][1])
    if "error" in end:
        return _connect_error(end["error"], call, replies, codec, 200)
    return _served(call, replies, json_codec=codec == "json", http=200)


def _connect_error(
    error: dict[str, Any], call: Call, replies: list[bytes], codec: str, status: int
) -> Outcome:
    details = [
        AnyMessage(type_url=f"type.googleapis.com/{detail['type']}", value=_decode(detail["value"]))
        for detail in error.get("details", ())
    ]
    return Outcome(
        code=_CONNECT_CODES[error["code"]],
        message=error.get("message", ""),
        details=readable(map(unpacked, details)),
        replies=tuple(_masked(call, reply, codec == "json") for reply in replies),
        http=status,
    )


# Reading outcomes, for all clients


def grpc_outcome(code: int, message: str, details: bytes, call: Call, replies: list[bytes]) -> Outcome:
    status = Status.FromString(details)
    if details and (status.code, status.message) != (code, message):
        message = f"{code} {message!r}, but in the details {status.code} {status.message!r}"
    return Outcome(
        code=code,
        message=message,
        details=readable(map(unpacked, status.details)),
        replies=tuple(_masked(call, reply, False) for reply in replies),
    )


def _served(call: Call, replies: list[bytes], *, json_codec: bool = False, http: int = 0) -> Outcome:
    shown = tuple(_masked(call, reply, json_codec) for reply in replies)
    return Outcome(code=0, message="", replies=shown, http=http)


def _masked(call: Call, reply: bytes, json_codec: bool) -> dict[str, Any]:
    if json_codec:
        shown = json.loads(reply)
    else:
        method = _method(call.path)
        assert method
        message = message_factory.GetMessageClass(method.output_type).FromString(reply)
        shown = json.loads(MessageToJson(message))
    assert isinstance(shown, dict)
    return {name: _without_times(value) for name, value in shown.items()}


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: "…" if name in {"id", "imageId"} and inner else _without_times(inner)
            for name, inner in value.items()
            if not name.endswith("Time") and name != "details"
        }
    if isinstance(value, list):
        return [_without_times(entry) for entry in value]
    if isinstance(value, str):
        return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "…", value)
    return value


def unpacked(box: AnyMessage) -> Message:
    name = box.type_url.rpartition("/")[2]
    found = descriptor_pool.Default().FindMessageTypeByName(name)
    return message_factory.GetMessageClass(found).FromString(box.value)


@cache
def _method(path: str) -> Any:
    service, _, name = path.removeprefix("/").partition("/")
    try:
        return descriptor_pool.Default().FindServiceByName(service).methods_by_name.get(name)
    except KeyError:
        return None


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))


CLIENTS: dict[str, Client] = {
    "grpcio": grpcio,
    "grpcio with gzip": grpcio_gzip,
    "grpcio asyncio": grpcio_asyncio,
    "grpc-js": grpc_js,
    "gRPC as it is": raw_grpc,
    "gRPC-Web binary": grpc_web_binary,
    "gRPC-Web text": grpc_web_text,
    "Connect JSON": connect("json", curl),
    "Connect protobuf": connect("proto", curl),
    "Connect JSON over HTTP/2": connect("json", http2),
    "Connect protobuf over HTTP/2": connect("proto", http2),
}
