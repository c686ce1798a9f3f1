"""Requests byte by byte, over HTTP/1.1 and HTTP/2: as no library would send them."""

import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tests.support.waiting import DEADLINE

DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
ACK, END_STREAM, END_HEADERS = 1, 1, 4

Pairs = Sequence[tuple[str, str]]


@dataclass(slots=True)
class Answer:
    """`rest` is what came after an answer on the same connection."""

    status: int
    pairs: list[tuple[str, str]]
    body: bytes
    rest: bytes = b""

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.pairs)

    def all(self, name: str) -> list[str]:
        return [value for other, value in self.pairs if other == name]


@dataclass(slots=True)
class Frames:
    """What came on one HTTP/2 stream; `frames` are those of headers and data.

    `reset` has the code of RST_STREAM or GOAWAY, -1 if there was none, and -2 if the connection was closed
    without a word.
    """

    body: bytes = b""
    ended: bool = False
    reset: int = -1
    frames: list[int] = field(default_factory=list)


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)


def request(
    path: str, headers: Pairs = (), body: bytes = b"", *, verb: str = "POST", length: str | None = ""
) -> bytes:
    """A request over HTTP/1.1. `length` is its content-length: "" for the right one, None for none."""
    lines = [f"{verb} {path} HTTP/1.1", "host: localhost", *(f"{name}: {value}" for name, value in headers)]
    if length is not None:
        lines.append(f"content-length: {length or len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def http1(port: int, sent: bytes) -> Answer:
    """Sends what may be more than one request, with `connection: close` in the last, and reads the answer.

    For HEAD it reads until the connection ends. Otherwise it does not wait for that end, with which Envoy
    takes its time where it has not read all of a request.
    """
    with connected(port) as connection:
        connection.sendall(sent)
        got = b""
        while piece := connection.recv(65536):
            got += piece
            if not sent.startswith(b"HEAD") and (answer := _answer(got)):
                return answer
    answer = _answer(got, head=True)
    assert answer, got
    return answer


def _answer(got: bytes, *, head: bool = False) -> Answer | None:
    """The answer in the bytes that came, None if there are more to come."""
    begin, end, rest = got.partition(b"\r\n\r\n")
    if not end:
        return None
    status, *lines = begin.decode("latin-1").split("\r\n")
    pairs = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    answer = Answer(int(status.split()[1]), pairs, b"", rest)
    headers = answer.headers
    if head:
        return answer
    if headers.get("transfer-encoding") == "chunked":
        if not rest.endswith(b"\r\n0\r\n\r\n") and rest != b"0\r\n\r\n":
            return None
        answer.body, answer.rest = dechunked(rest)
    else:
        length = int(headers["content-length"])
        if len(rest) < length:
            return None
        answer.body, answer.rest = rest[:length], rest[length:]
    return answer


def dechunked(data: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return body, data.removeprefix(b"\r\n")
        body, data = body + data[:length], data[length + 2 :]


def frame(kind: int, flags: int, payload: bytes, *, stream: int = 1) -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def block(pairs: Iterable[tuple[str, str]]) -> bytes:
    """Headers as HPACK has them, each a literal that is not indexed (RFC 7541, section 6.2.2)."""
    return b"".join(
        b"\0" + _string(name.encode("latin-1")) + _string(value.encode("latin-1")) for name, value in pairs
    )


def head(path: str, headers: Pairs = (), *, verb: str = "POST", flags: int = END_HEADERS) -> bytes:
    """The frame that begins a request."""
    pseudo = [(":method", verb), (":scheme", "http"), (":path", path), (":authority", "x")]
    return frame(HEADERS, flags, block([*pseudo, *headers]))


def http2(port: int, *frames: bytes) -> Frames:
    """Sends the frames on a connection of their own, and reads until the stream or the connection ends."""
    with connected(port) as connection:
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, b"", stream=0)
        connection.sendall(preface + b"".join(frames))
        found = Frames()
        for kind, flags, stream, payload in _frames(connection):
            if kind == SETTINGS and not flags & ACK:
                connection.sendall(frame(SETTINGS, ACK, b"", stream=0))
            if stream == 1 and kind in {HEADERS, DATA}:
                found.frames.append(kind)
                found.body += payload if kind == DATA else b""
            if kind in {RST_STREAM, GOAWAY}:
                found.reset = int.from_bytes(payload[-4:] if kind == RST_STREAM else payload[4:8])
                return found
            if stream == 1 and kind in {HEADERS, DATA} and flags & END_STREAM:
                found.ended = True
                return found
        found.reset = -2
        return found


def _frames(connection: socket.socket) -> Iterator[tuple[int, int, int, bytes]]:
    buffer = b""
    while piece := connection.recv(65536):
        buffer += piece
        while len(buffer) >= 9 and len(buffer) >= 9 + (size := int.from_bytes(buffer[:3])):
            yield buffer[3], buffer[4], int.from_bytes(buffer[5:9]), buffer[9 : 9 + size]
            buffer = buffer[9 + size :]


def _string(data: bytes) -> bytes:
    size, left = bytearray(), len(data)
    if left < 127:
        return bytes((left,)) + data
    size.append(127)
    left -= 127
    while left >= 128:
        size.append(left & 127 | 128)
        left >>= 7
    return bytes([*size, left]) + data
