"""Decodes bytes that somebody has: a message, messages with their prefixes, frames of HTTP/2, HTTP/1.1."""

from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor

from conexiones.wire.bodies import COMPRESSED, CONNECT_END, PREFIX_BYTES, WEB_TRAILERS, Body, Form
from conexiones.wire.contract import Contract
from conexiones.wire.events import Part
from conexiones.wire.frames import HEAD_BYTES, PREFACE, SETTINGS
from conexiones.wire.http1 import REQUEST, RESPONSE, Http1
from conexiones.wire.http2 import Http2

PROTOCOLS = {
    "grpc": "messages of gRPC, with their prefixes",
    "grpc-web": "the body of gRPC-Web",
    "connect": "the body of Connect",
    "http2": "HTTP/2",
    "http1": "HTTP/1.1",
    "protobuf": "one message of protobuf",
}
_LAST_TYPE = 9
_PIECE_BYTES = 64 << 10
_OF_ENVELOPES = {"grpc", "grpc-web"}


def guessed(data: bytes) -> str:
    """The protocol of the bytes, by what they look like."""
    if data.startswith(PREFACE) or _are_frames(data):
        return "http2"
    first = data.partition(b"\n")[0]
    if REQUEST.match(first) or RESPONSE.match(first):
        return "http1"
    flags = _flags(data)
    if flags is not None or data[0] <= COMPRESSED | CONNECT_END:  # no message of protobuf begins with these
        flags = flags or 0
        return "grpc-web" if flags & WEB_TRAILERS else "connect" if flags & CONNECT_END else "grpc"
    return "connect" if data.lstrip().startswith(b"{") else "protobuf"


def decoded(
    data: bytes, protocol: str, contract: Contract, message: Descriptor | None = None
) -> Iterator[tuple[int, Part]]:
    """The parts of the bytes, with their streams where there are any. `message` is the type of messages of
    which nothing else says it. Raises nothing for hostile bytes: what is wrong is in the parts."""
    if protocol in {"http2", "http1"}:
        sent = PREFACE.startswith(data[: len(PREFACE)]) or bool(REQUEST.match(data.partition(b"\n")[0]))
        speaks = (Http2 if protocol == "http2" else Http1)(contract, message)
        for piece in _pieces(data):
            yield from speaks.feed(sent, piece)
        yield from speaks.end(sent)
        return
    body = Body(_form(data, protocol), message, contract)
    for piece in _pieces(data):
        yield from ((0, part) for part in body.feed(piece))
    yield from ((0, part) for part in body.end())


def _pieces(data: bytes) -> Iterator[bytes]:
    """The bytes as a connection would bring them: the parts of all of them at once would be many."""
    return (data[at : at + _PIECE_BYTES] for at in range(0, len(data), _PIECE_BYTES))


def _form(data: bytes, protocol: str) -> Form:
    if protocol in _OF_ENVELOPES or (protocol == "connect" and _flags(data) is not None):
        return Form(json=protocol == "connect" and _holds_json(data))
    return Form(framed=False, json=protocol == "connect" and data.lstrip().startswith(b"{"))


def _holds_json(data: bytes) -> bool:
    return data[PREFIX_BYTES : PREFIX_BYTES + 1] == b"{" and not data[0]


def _flags(data: bytes) -> int | None:
    """The flags of all prefixes together; None if the bytes are not just messages with their prefixes."""
    at = flags = 0
    while at < len(data):
        prefix = data[at : at + PREFIX_BYTES]
        if len(prefix) < PREFIX_BYTES or prefix[0] & ~(COMPRESSED | CONNECT_END | WEB_TRAILERS):
            return None
        flags |= prefix[0]
        at += PREFIX_BYTES + int.from_bytes(prefix[1:])
    return flags if at == len(data) else None


def _are_frames(data: bytes) -> bool:
    """Whether the bytes are frames of HTTP/2 as a server sends them: its settings come first."""
    at = 0
    while at < len(data):
        head = data[at : at + HEAD_BYTES]
        if len(head) < HEAD_BYTES or head[3] > _LAST_TYPE or (at == 0 and head[3] != SETTINGS):
            return False
        at += HEAD_BYTES + int.from_bytes(head[:3])
    return at == len(data)
