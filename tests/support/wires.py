"""The protocols on the wire, and requests that break them in ways that no library would."""

import base64
import gzip
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from conexiones import errors
from tests.support.calls import GET_STREAM_IMAGE, GET_USER, user
from tests.support.clients import (
    Call,
    Headers,
    Outcome,
    Response,
    connect_answer,
    connect_stream_answer,
    curl,
    enveloped,
    grpc_answer,
    grpc_web_answer,
    http2,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """A protocol with one content type: its framing, the names of its headers, the reader of its answers."""

    name: str
    path: str = GET_USER
    content_type: str
    message: bytes = user("Ana")
    framed: bool = True
    text: bool = False
    send: Any = curl
    encoding: str
    timeout: str
    reads: Callable[[Response, Call], Outcome]

    def body(self, *messages: bytes, flags: int = 0) -> bytes:
        return enveloped(messages, flags=flags) if self.framed else b"".join(messages)


def _grpc(name: str, content_type: str, reads: Callable[[Response, Call], Outcome], **more: Any) -> Wire:
    return Wire(
        name=name,
        content_type=content_type,
        encoding="grpc-encoding",
        timeout="grpc-timeout",
        reads=reads,
        **more,
    )


def _connect(name: str, codec: str, message: bytes) -> Wire:
    return Wire(
        name=name,
        content_type=f"application/{codec}",
        message=message,
        framed=False,
        encoding="content-encoding",
        timeout="connect-timeout-ms",
        reads=lambda response, call: connect_answer(response, call, codec),
    )


def _connect_stream(name: str, codec: str, message: bytes) -> Wire:
    return Wire(
        name=name,
        path=GET_STREAM_IMAGE,
        content_type=f"application/connect+{codec}",
        message=message,
        encoding="connect-content-encoding",
        timeout="connect-timeout-ms",
        reads=lambda response, call: connect_stream_answer(response, call, codec),
    )


WIRES = [
    _grpc("gRPC", "application/grpc", grpc_answer, send=http2),
    _grpc("gRPC-Web", "application/grpc-web+proto", grpc_web_answer),
    _grpc(
        "gRPC-Web text",
        "application/grpc-web-text",
        lambda response, call: grpc_web_answer(response, call, text=True),
        text=True,
    ),
    _connect("Connect JSON", "json", b'{"name": "Ana"}'),
    _connect("Connect protobuf", "proto", user("Ana")),
    _connect_stream("Connect stream JSON", "json", b'{"image": "AAAA"}'),
    _connect_stream("Connect stream protobuf", "proto", b"\x0a\x03\0\0\0"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A request that breaks the protocol of `wire`, and the error it must get.

    `http` is the HTTP status where the protocol, which is Connect then, lets HTTP have its own.
    """

    name: str
    wire: Wire
    error: errors.ConexionesError = field(default_factory=errors.MalformedRequest)
    http: int = 400
    method: str = "POST"
    path: str = ""
    headers: Headers = field(default_factory=dict)
    body: bytes | None = None

    def __str__(self) -> str:
        return f"{self.name} over {self.wire.name}"

    def send(self, address: str) -> Response:
        wire = self.wire
        body = wire.body(wire.message) if self.body is None else self.body
        if wire.text:
            body = base64.b64encode(body)
        headers: Headers = {"content-type": wire.content_type, "accept": wire.content_type}
        headers |= {"te": "trailers"} if wire.send is http2 else {}
        headers |= self.headers
        return wire.send(address, self.path or wire.path, body, headers, method=self.method)

    def outcome(self, response: Response) -> Outcome:
        path = self.path or self.wire.path
        return self.wire.reads(response, Call(name=self.name, path=path, messages=()))


def faults() -> Iterator[Fault]:
    for wire in WIRES:
        yield from _faults_of_any(wire)
        if wire.framed:
            yield from _faults_of_framing(wire)


def _faults_of_any(wire: Wire) -> Iterator[Fault]:
    unknown, protocol = errors.UnknownMethod(), errors.UnknownProtocol()
    yield Fault(name="unknown method", wire=wire, path=f"{wire.path}s", error=unknown, http=404)
    yield Fault(name="unknown service", wire=wire, path="/user.Otro/GetUser", error=unknown, http=404)
    yield Fault(name="root", wire=wire, path="/", error=unknown, http=404)
    yield Fault(name="GET", wire=wire, method="GET", error=protocol, http=405)
    yield Fault(name="PUT", wire=wire, method="PUT", error=protocol, http=405)
    yield Fault(name="timeout that is none", wire=wire, headers={wire.timeout: "soon"})
    yield Fault(name="negative timeout", wire=wire, headers={wire.timeout: "-1"})
    yield Fault(name="timeout of too many digits", wire=wire, headers={wire.timeout: "12345678901"})
    yield Fault(name="header that is not ASCII", wire=wire, headers={"x-note": "ñandú".encode()})
    if wire.send is curl:
        yield Fault(name="header that is not UTF-8", wire=wire, headers={"x-note": b"\xff\xfe"})
    yield Fault(
        name="unknown compression",
        wire=wire,
        headers={wire.encoding: "snappy"},
        error=errors.UnknownCompression(),
        http=501,
    )
    yield Fault(
        name="gzip that is none",
        wire=wire,
        headers={wire.encoding: "gzip"},
        body=wire.body(b"no gzip", flags=1),
    )
    yield Fault(
        name="gzip that is cut",
        wire=wire,
        headers={wire.encoding: "gzip"},
        body=wire.body(gzip.compress(wire.message)[:-9], flags=1),
    )
    timeout = "1n" if wire.timeout == "grpc-timeout" else "0"
    yield Fault(
        name="deadline that has passed",
        wire=wire,
        headers={wire.timeout: timeout},
        error=errors.DeadlineExceeded(),
        http=504,
    )


def _faults_of_framing(wire: Wire) -> Iterator[Fault]:
    undeclared = errors.UndeclaredCompression()
    compressed = wire.body(wire.message, flags=1)
    yield Fault(name="compressed by what", wire=wire, body=compressed, error=undeclared, http=500)
    yield Fault(name="unknown flags", wire=wire, body=wire.body(wire.message, flags=0x40))
    yield Fault(name="cut message", wire=wire, body=struct.pack(">BI", 0, 100) + wire.message)
    yield Fault(name="cut frame", wire=wire, body=b"\0\0\0")
    if wire.path == GET_USER:
        count = errors.NotOneMessage()
        two = wire.body(wire.message, wire.message)
        yield Fault(name="no message", wire=wire, body=b"", error=count, http=501)
        yield Fault(name="two messages", wire=wire, body=two, error=count, http=501)
