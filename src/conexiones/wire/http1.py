"""One connection of HTTP/1.1 (RFC 9112), which gRPC-Web and Connect can do with."""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from google.protobuf.descriptor import Descriptor

from conexiones.wire.bodies import Body, form_of
from conexiones.wire.contract import Contract
from conexiones.wire.details import of_trailers
from conexiones.wire.events import MAX_HEADER_BYTES, Header, Part
from conexiones.wire.headers import noted
from conexiones.wire.redaction import shown, without

REQUEST = re.compile(rb"[A-Z]{3,7} [^ \r\n]+ HTTP/1\.[01]\r?$")
RESPONSE = re.compile(rb"HTTP/1\.[01] [1-9][0-9]{2}(?: [^\r\n]*)?\r?$")
_MAX_LINE_BYTES = 8 << 10
_MAX_ASKED = 100
"""Requests of a connection that wait for their replies."""

Placed = tuple[int, Part]
"""A part with the number of its request."""


class _Fault(Exception):
    """What is wrong; the text is a sentence."""


@dataclass(slots=True)
class _Side:
    """What one side sends."""

    data: bytearray = field(default_factory=bytearray)
    number: int = 0
    """That of the request or of the reply that was last begun."""
    left: int | None = 0
    """Bytes of the body, or of the chunk, that are still to come; None until the connection ends."""
    chunked: bool = False
    in_body: bool = False
    body: Body | None = None
    broken: bool = False


@dataclass(frozen=True, slots=True)
class _Asked:
    verb: str
    path: str


class Http1:
    """Decodes what the client (`sent`) and the server send, as it comes."""

    def __init__(self, contract: Contract, message: Descriptor | None = None) -> None:
        """`message` is the type of messages of which the path does not say it."""
        self._contract = contract
        self._message = message
        self._sides = {True: _Side(), False: _Side()}
        self._asked: deque[_Asked] = deque(maxlen=_MAX_ASKED)

    def feed(self, sent: bool, data: bytes) -> Iterator[Placed]:
        """All that is whole with these bytes. It has to be read to its end."""
        side = self._sides[sent]
        if side.broken:
            return
        side.data += data
        try:
            while side.data:
                before = len(side.data), side.in_body
                yield from self._body(side) if side.in_body else self._begin(side, sent)
                if before == (len(side.data), side.in_body):
                    break  # there has to be more
        except _Fault as fault:
            yield side.number, self._break(side, str(fault))

    def end(self, sent: bool) -> Iterator[Placed]:
        """That side sends no more."""
        side = self._sides[sent]
        if side.broken:
            return
        if side.in_body and side.left is None:
            yield from self._close(side)
        elif side.in_body or side.data:
            yield side.number, self._break(side, "The connection ends within a body, or within headers.")

    def _break(self, side: _Side, problem: str) -> Part:
        side.broken = True
        side.data.clear()
        return Part(kind="BROKEN", problem=problem)

    def _begin(self, side: _Side, sent: bool) -> Iterator[Placed]:
        """The line and the headers of a request or of a reply, once they are whole."""
        lines = _lines(side.data)
        if lines is None:
            return
        first, headers = lines[0], _headers(lines[1:])
        if not (REQUEST if sent else RESPONSE).match(first):
            raise _Fault(f"This is not {'a request' if sent else 'a reply'} of HTTP/1.1.")
        length = sum(map(len, lines)) + 2 * len(lines) + 2
        line = without(first.decode(errors="replace").rstrip("\r"))
        words = first.decode(errors="replace").split(" ")
        values = {one.name.lower(): one.value for one in headers}
        interim = not sent and words[1].startswith("1")
        side.number += 0 if interim else 1
        kind = "REQUEST" if sent else "RESPONSE"
        yield (
            side.number,
            Part(
                kind=kind,
                length=length,
                facts={"line": line},
                headers=tuple(map(shown, headers)),
                message=of_trailers(headers, self._contract),
            ),
        )
        if sent:
            self._asked.append(_Asked(words[0], words[1]))
        if not interim:
            yield from self._with_body(side, sent, words, values)

    def _with_body(
        self, side: _Side, sent: bool, words: list[str], headers: dict[str, str]
    ) -> Iterator[Placed]:
        asked = self._asked[-1] if sent else self._asked.popleft() if self._asked else _Asked("", "")
        method = self._contract.method(asked.path)
        kind = self._message if method is None else method.takes if sent else method.gives
        form = form_of(headers, failed=not sent and words[1] != "200")
        side.body = None if form is None else Body(form, kind, self._contract)
        side.chunked = headers.get("transfer-encoding", "").lower().endswith("chunked")
        none = not sent and (asked.verb == "HEAD" or words[1] in {"204", "304"})
        size = headers.get("content-length", "")
        if size and not (size.isascii() and size.isdecimal() and len(size) < 16):
            raise _Fault("Its content-length is no number.")
        if none or side.chunked:
            side.left = 0
        elif size or sent:
            side.left = int(size or "0")
        else:
            side.left = None
        side.in_body = True
        if none or (side.left == 0 and not side.chunked):
            yield from self._close(side)

    def _body(self, side: _Side) -> Iterator[Placed]:
        if side.chunked:
            yield from self._chunk(side)
            return
        taken = len(side.data) if side.left is None else min(side.left, len(side.data))
        yield side.number, Part(kind="BODY", length=taken)
        yield from self._feed(side, taken)
        if side.left is not None:
            side.left -= taken
            if not side.left:
                yield from self._close(side)

    def _chunk(self, side: _Side) -> Iterator[Placed]:
        """The next piece of a chunk, or the line before it, or what follows the last."""
        if side.left:
            taken = min(side.left - 2, len(side.data))
            if taken > 0:
                yield from self._feed(side, taken)
                side.left -= taken
            if side.left == 2 and len(side.data) >= 2:
                if bytes(side.data[:2]) != b"\r\n":
                    raise _Fault("A chunk is longer than it says.")
                del side.data[:2]
                side.left = 0
            return
        end = side.data.find(b"\r\n")
        if end < 0:
            if len(side.data) > _MAX_LINE_BYTES:
                raise _Fault("The length of a chunk is none.")
            return
        text = bytes(side.data[:end]).partition(b";")[0].strip()
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,12}", text):
            raise _Fault("The length of a chunk is none.")
        size = int(text, 16)
        if size:
            del side.data[: end + 2]
            side.left = size + 2
            yield side.number, Part(kind="CHUNK", length=size, facts={"line": text.decode()})
            return
        yield from self._last_chunk(side, end + 2)

    def _last_chunk(self, side: _Side, at: int) -> Iterator[Placed]:
        """Trailers may follow it."""
        rest = side.data[at:]
        if rest.startswith(b"\r\n"):
            del side.data[: at + 2]
            yield side.number, Part(kind="CHUNK", facts={"line": "0"})
        else:
            lines = _lines(rest)
            if lines is None:
                return
            side.data[:] = rest
            headers = _headers(lines)
            length = sum(map(len, lines)) + 2 * len(lines) + 2
            yield side.number, Part(kind="CHUNK", facts={"line": "0"})
            message = of_trailers(headers, self._contract)
            yield (
                side.number,
                Part(kind="TRAILERS", length=length, headers=tuple(map(shown, headers)), message=message),
            )
        yield from self._close(side)

    def _feed(self, side: _Side, count: int) -> Iterator[Placed]:
        data = bytes(side.data[:count])
        del side.data[:count]
        if side.body:
            yield from ((side.number, part) for part in side.body.feed(data))

    def _close(self, side: _Side) -> Iterator[Placed]:
        """The body is whole."""
        side.in_body = False
        if side.body:
            yield from ((side.number, part) for part in side.body.end())
            side.body = None


def _lines(data: bytearray) -> list[bytes] | None:
    """The lines up to an empty one, which are removed; None if they are not whole. Raises _Fault."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > MAX_HEADER_BYTES:
            raise _Fault(f"The headers have more than {MAX_HEADER_BYTES} bytes.")
        return None
    if end > MAX_HEADER_BYTES:
        raise _Fault(f"The headers have more than {MAX_HEADER_BYTES} bytes.")
    lines = bytes(data[:end]).split(b"\r\n")
    del data[: end + 4]
    return lines


def _headers(lines: list[bytes]) -> list[Header]:
    whole: list[str] = []
    for text in (line.decode(errors="replace") for line in lines):
        if text[:1] in {" ", "\t"} and whole:
            whole[-1] += text  # it goes on with the value before, as was allowed once
        else:
            whole.append(text)
    pairs = (text.partition(":") for text in whole)
    return [noted(name.strip(), value.strip()) for name, _, value in pairs]
