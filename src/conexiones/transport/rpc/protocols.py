"""The protocol and the format of a request, by its content type."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from conexiones.errors import MalformedRequest
from conexiones.transport.chain.call import Call, Kind
from conexiones.transport.rpc.codecs import JSON, PROTOBUF, Codec
from conexiones.transport.rpc.connect import ConnectStream, ConnectUnary
from conexiones.transport.rpc.exchange import Exchange
from conexiones.transport.rpc.grpc import Grpc
from conexiones.transport.rpc.status import Details

_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_GRPC_TIMEOUT = re.compile(rb"[0-9]{1,8}[HMSmun]")
_CONNECT_TIMEOUT = re.compile(rb"[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Dialect:
    """A protocol and a format. If the format is not known there is no codec, and only errors can be
    answered."""

    kind: Kind
    codec: Codec | None
    content_type: bytes
    exchange: type[Exchange]

    def carries(self, *, streams: bool) -> bool:
        """Whether a method with streams, or one without, can be called so. gRPC has one form for both,
        Connect has one for each."""
        return self.codec is not None and (self.kind == "grpc" or streams == (self.kind == "connect-stream"))

    def answer(self, call: Call, details: Details) -> Exchange:
        return self.exchange(call, self.codec or PROTOBUF, self.content_type, details)

    def seconds(self, headers: Mapping[bytes, bytes]) -> float | None:
        """The time that the client gives the call. Raises MalformedRequest, also if the request names another
        version of Connect."""
        if self.kind == "grpc":
            value = headers.get(b"grpc-timeout")
            if value is None:
                return None
            if not _GRPC_TIMEOUT.fullmatch(value):
                raise MalformedRequest
            return int(value[:-1]) * _UNITS[value[-1:]]
        if headers.get(b"connect-protocol-version", b"1") != b"1":
            raise MalformedRequest
        value = headers.get(b"connect-timeout-ms")
        if value is None:
            return None
        if not _CONNECT_TIMEOUT.fullmatch(value):
            raise MalformedRequest
        return int(value) / 1000


_KNOWN = {
    b"application/grpc": Dialect("grpc", PROTOBUF, b"application/grpc", Grpc),
    b"application/grpc+proto": Dialect("grpc", PROTOBUF, b"application/grpc", Grpc),
    b"application/grpc+json": Dialect("grpc", JSON, b"application/grpc+json", Grpc),
    b"application/proto": Dialect("connect", PROTOBUF, b"application/proto", ConnectUnary),
    b"application/json": Dialect("connect", JSON, b"application/json", ConnectUnary),
    b"application/connect+proto": Dialect(
        "connect-stream", PROTOBUF, b"application/connect+proto", ConnectStream
    ),
    b"application/connect+json": Dialect("connect-stream", JSON, b"application/connect+json", ConnectStream),
}


def dialect(content_type: bytes) -> Dialect | None:
    """The dialect of a content type; None if it belongs to no protocol. For a format that is not known, the
    dialect in which the error is answered."""
    known = _KNOWN.get(content_type) or _KNOWN.get(content_type.partition(b";")[0].strip().lower())
    if known:
        return known
    if content_type.startswith(b"application/grpc"):
        return Dialect("grpc", None, b"application/grpc", Grpc)
    if content_type.startswith(b"application/connect+"):
        return Dialect("connect-stream", None, content_type, ConnectStream)
    return None
