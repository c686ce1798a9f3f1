"""One connection of HTTP/2: its headers, and the bodies of its streams."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import hpack
from google.protobuf.descriptor import Descriptor

from conexiones.wire.bodies import Body, form_of
from conexiones.wire.contract import Contract
from conexiones.wire.details import of_trailers
from conexiones.wire.events import MAX_HEADER_BYTES, Header, Part
from conexiones.wire.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADER_TABLE_SIZE,
    HEADERS,
    PREFACE,
    PRIORITISED,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    Fault,
    Frame,
    Frames,
)
from conexiones.wire.headers import noted
from conexiones.wire.redaction import shown

MAX_STREAMS = 1_000
"""Streams of a connection that are followed at a time."""
_MAX_TABLE_BYTES = 64 << 10

Placed = tuple[int, Part]
"""A part with its stream."""


@dataclass(slots=True)
class _Stream:
    path: str = ""
    bodies: dict[bool, Body | None] = field(default_factory=dict)
    """By direction, once its headers have come."""
    ended: set[bool] = field(default_factory=set)


@dataclass(slots=True)
class _Side:
    """What one side sends."""

    frames: Frames = field(default_factory=Frames)
    begin: bytes | None = None
    """What came of the preface, until it is whole."""
    headers: hpack.Decoder = field(default_factory=lambda: hpack.Decoder(MAX_HEADER_BYTES))
    lost: bool = False
    """Whether headers can no longer be read: each block builds on those before it."""
    block: bytearray = field(default_factory=bytearray)
    """A block of headers that goes on in another frame."""
    ends: bool = False
    """Whether the stream of that block ends with it."""


class Http2:
    """Decodes what the client (`sent`) and the server send, as it comes."""

    def __init__(self, contract: Contract, message: Descriptor | None = None) -> None:
        """`message` is the type of messages of which the path does not say it."""
        self._contract = contract
        self._message = message
        self._sides = {True: _Side(begin=b""), False: _Side()}
        self._streams: dict[int, _Stream] = {}

    def feed(self, sent: bool, data: bytes) -> Iterator[Placed]:
        """All that is whole with these bytes. It has to be read to its end."""
        side = self._sides[sent]
        if side.begin is not None:
            side.begin += data
            if len(side.begin) < len(PREFACE) and PREFACE.startswith(side.begin):
                return
            data, side.begin = side.begin, None
            if data.startswith(PREFACE):
                yield 0, Part(kind="PREFACE", length=len(PREFACE), facts={"text": "PRI * HTTP/2.0"})
                data = data[len(PREFACE) :]
        for frame in side.frames.feed(data):
            try:
                yield from self._frame(side, sent, frame)
            except Fault as fault:
                side.lost |= frame.kind in {HEADERS, PUSH_PROMISE, CONTINUATION}
                yield frame.stream, frame.part(problem=str(fault))

    def end(self, sent: bool) -> Iterator[Placed]:
        """That side sends no more."""
        side = self._sides[sent]
        if side.begin or side.frames:
            yield 0, Part(kind="BROKEN", problem="The bytes end within a frame.")
        for number, stream in list(self._streams.items()):
            yield from self._end(number, stream, sent)

    def _frame(self, side: _Side, sent: bool, frame: Frame) -> Iterator[Placed]:
        if frame.too_large:
            raise Fault("It is too large to be shown.")
        if frame.kind == DATA:
            yield from self._data(sent, frame)
        elif frame.kind in {HEADERS, CONTINUATION}:
            yield from self._headers(side, sent, frame)
        else:
            facts = frame.facts()
            yield frame.stream, frame.part(facts)
            if frame.kind == SETTINGS and HEADER_TABLE_SIZE in facts:
                # What this side allows is what the other side's headers may use.
                other = self._sides[not sent].headers
                allowed = min(int(facts[HEADER_TABLE_SIZE]), _MAX_TABLE_BYTES)
                other.max_allowed_table_size = max(other.max_allowed_table_size, allowed)
            elif frame.kind == RST_STREAM:
                self._streams.pop(frame.stream, None)
            side.lost |= frame.kind == PUSH_PROMISE  # gRPC has none, so its headers are not read

    def _data(self, sent: bool, frame: Frame) -> Iterator[Placed]:
        content = frame.unpadded()
        yield frame.stream, frame.part()
        stream = self._streams.get(frame.stream)
        if stream is None:
            return
        if body := stream.bodies.get(sent):
            yield from ((frame.stream, part) for part in body.feed(content))
        if frame.flags & END_STREAM:
            yield from self._end(frame.stream, stream, sent)

    def _end(self, number: int, stream: _Stream, sent: bool) -> Iterator[Placed]:
        """One direction of a stream has ended."""
        if sent in stream.ended:
            return
        stream.ended.add(sent)
        if body := stream.bodies.get(sent):
            yield from ((number, part) for part in body.end())
        if stream.ended == {True, False}:
            self._streams.pop(number, None)

    def _headers(self, side: _Side, sent: bool, frame: Frame) -> Iterator[Placed]:
        block = frame.content
        if frame.kind == HEADERS:
            block = frame.unpadded()[5 if frame.flags & PRIORITISED else 0 :]
            side.block.clear()
            side.ends = bool(frame.flags & END_STREAM)
        side.block += block
        if len(side.block) > MAX_HEADER_BYTES:
            side.block.clear()
            raise Fault(f"The headers have more than {MAX_HEADER_BYTES} bytes.")
        if not frame.flags & END_HEADERS:
            yield frame.stream, frame.part()
            return
        headers = _decoded(side)
        stream = self._stream(frame.stream)
        first = sent not in stream.bodies
        values = {one.name: one.value for one in headers}
        part = frame.part({"role": _role(sent, values, first=first)})
        message = of_trailers(headers, self._contract)
        yield frame.stream, replace(part, headers=tuple(map(shown, headers)), message=message)
        if first and not values.get(":status", "").startswith("1"):
            self._begin(stream, sent, values)
        if side.ends:
            yield from self._end(frame.stream, stream, sent)

    def _stream(self, number: int) -> _Stream:
        if number not in self._streams:
            if len(self._streams) >= MAX_STREAMS:
                self._streams.pop(next(iter(self._streams)))
            self._streams[number] = _Stream()
        return self._streams[number]

    def _begin(self, stream: _Stream, sent: bool, headers: dict[str, str]) -> None:
        """The body of a direction begins."""
        stream.path = headers.get(":path", stream.path)
        method = self._contract.method(stream.path)
        kind = self._message if method is None else method.takes if sent else method.gives
        form = form_of(headers, failed=not sent and headers.get(":status", "200") != "200")
        stream.bodies[sent] = None if form is None else Body(form, kind, self._contract)


def _role(sent: bool, headers: dict[str, str], *, first: bool) -> str:
    if not first:
        return "trailers"
    if sent:
        return "request"
    return "response and trailers" if "grpc-status" in headers else "response"


def _decoded(side: _Side) -> list[Header]:
    """The headers of the block that is whole. Raises Fault."""
    block = bytes(side.block)
    side.block.clear()
    if side.lost:
        raise Fault("Its headers build on others that could not be read.")
    try:
        found = side.headers.decode(block, raw=True)
    except hpack.InvalidTableIndexError:
        raise Fault("Its headers refer to others, which came before these bytes.") from None
    except hpack.OversizedHeaderListError:
        raise Fault(f"The headers have more than {MAX_HEADER_BYTES} bytes.") from None
    except Exception:
        raise Fault("Its headers are not HPACK.") from None
    return [noted(_text(name), _text(value)) for name, value in found]


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode(errors="replace")
