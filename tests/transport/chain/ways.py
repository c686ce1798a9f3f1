"""The ways in which an RPC can be called: protocol, format and framing, as bytes on the wire."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """`protocol` is the name that the server has for it; `streams` says which methods go this way, None for
    all of them."""

    name: str
    protocol: str
    content_type: str
    timeout: tuple[str, str]
    http2: bool = False
    streams: bool | None = None
    json: bool = False
    text: bool = False

    def carries(self, *, streams: bool) -> bool:
        return self.streams in (None, streams)

    def headers(self) -> dict[str, str]:
        te = {"te": "trailers"} if self.http2 else {}
        return {"content-type": self.content_type, "accept": self.content_type, **te}

    def body(self, messages: Iterable[Message]) -> bytes:
        return self.framed(
            MessageToJson(message).encode() if self.json else message.SerializeToString()
            for message in messages
        )

    def framed(self, messages: Iterable[bytes], *, flags: int = 0) -> bytes:
        if self.streams is False:
            return b"".join(messages)
        body = b"".join(bytes((flags,)) + len(message).to_bytes(4) + message for message in messages)
        return base64.b64encode(body) if self.text else body

    def malformed(self) -> bytes:
        """A message that is none of any class."""
        return self.framed([b'{"image": "AAA' if self.json else b"\x0a\x7fabc"])

    def begun(self) -> bytes:
        """The first three bytes of a message, whatever its class."""
        three = b'{ "' if self.streams is False else b"\0\0\0"
        return base64.b64encode(three) if self.text else three


GRPC_SECOND, CONNECT_SECOND = ("grpc-timeout", "1S"), ("connect-timeout-ms", "1000")

WAYS = [
    Way(
        name="gRPC",
        protocol="grpc",
        content_type="application/grpc",
        timeout=GRPC_SECOND,
        http2=True,
    ),
    Way(
        name="gRPC JSON",
        protocol="grpc",
        content_type="application/grpc+json",
        timeout=GRPC_SECOND,
        http2=True,
        json=True,
    ),
    Way(
        name="gRPC-Web",
        protocol="grpc",
        content_type="application/grpc-web+proto",
        timeout=GRPC_SECOND,
    ),
    Way(
        name="gRPC-Web text",
        protocol="grpc",
        content_type="application/grpc-web-text",
        timeout=GRPC_SECOND,
        text=True,
    ),
    Way(
        name="Connect unary protobuf",
        protocol="connect",
        content_type="application/proto",
        timeout=CONNECT_SECOND,
        streams=False,
    ),
    Way(
        name="Connect unary JSON",
        protocol="connect",
        content_type="application/json",
        timeout=CONNECT_SECOND,
        streams=False,
        json=True,
    ),
    Way(
        name="Connect stream protobuf",
        protocol="connect-stream",
        content_type="application/connect+proto",
        timeout=CONNECT_SECOND,
        streams=True,
    ),
    Way(
        name="Connect stream JSON",
        protocol="connect-stream",
        content_type="application/connect+json",
        timeout=CONNECT_SECOND,
        streams=True,
        json=True,
    ),
]
