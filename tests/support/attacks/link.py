"""gRPC over one HTTP/2 connection by hand, which may ignore windows and answers, as no library would."""

import asyncio
import contextlib
import struct
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

from tests.support.attacks import credentials
from tests.support.attacks.target import Connection, Tally, Target, again, many

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
ACK = END_STREAM = 1
END_HEADERS = 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LARGEST_WINDOW = 2**31 - 1

_INITIAL_WINDOW_SIZE, _MAX_FRAME_SIZE, _DEFAULT_WINDOW = 4, 5, 65535
_FRAME = 16384
_CANCEL = 8


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def block(pairs: Iterable[tuple[str, str]]) -> bytes:
    """Headers as HPACK has them, each a literal that is not indexed (RFC 7541, section 6.2.2)."""
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in pairs)


def _text(text: str) -> bytes:
    data = text.encode("latin-1")
    if len(data) < 127:
        return bytes((len(data),)) + data
    size, left = bytearray((127,)), len(data) - 127
    while left >= 128:
        size.append(left & 127 | 128)
        left >>= 7
    return bytes([*size, left]) + data


def message(data: bytes, *, compressed: bool = False) -> bytes:
    """A message of gRPC in its envelope."""
    return struct.pack(">BI", compressed, len(data)) + data


@dataclass(slots=True, eq=False)
class Stream:
    """A call. `replies` counts its DATA frames, `received` the bytes in them."""

    link: "Link"
    number: int
    window: int
    replies: int = 0
    received: int = 0
    ended: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """Ends as "served" if data came, "refused" if none came, "reset", or "closed" with its connection."""

    async def send(self, data: bytes, *, end: bool = False) -> None:
        """Sends DATA, as the windows allow. Returns early if the call has ended. Raises OSError."""
        view, link = memoryview(data), self.link
        while not self.ended.done():
            size = min(len(view), self.window, link.window, link.largest)
            if size or not view:
                last = end and size == len(view)
                self.window -= size
                link.window -= size
                await link.send(frame(DATA, END_STREAM if last else 0, self.number, bytes(view[:size])))
                view = view[size:]
            if not view:
                return
            if not (self.window and link.window):
                await link.wait()

    async def reset(self) -> None:
        await self.link.send(frame(RST_STREAM, 0, self.number, _CANCEL.to_bytes(4)))
        self.link.finish(self, "reset")


class Link:
    """A connection. `window` is how many bytes each stream may receive, and is opened again as they come,
    unless it is 0. With `reads` false, nothing is ever read from the connection."""

    def __init__(self, connection: Connection, tally: Tally, *, reads: bool, window: int) -> None:
        self.window = _DEFAULT_WINDOW
        self.largest = _FRAME
        self.streams: dict[int, Stream] = {}
        self.closed = False
        self._connection = connection
        self._tally = tally
        self._initial = _DEFAULT_WINDOW
        self._next = 1
        self._opened = asyncio.Event()
        self._gives = reads and window > 0
        if not reads:
            connection.pause()
        self._watch = asyncio.create_task(self._read() if reads else self._until_gone())

    @classmethod
    async def open(
        cls, target: Target, tally: Tally, *, reads: bool = True, window: int = LARGEST_WINDOW
    ) -> Self:
        """Raises OSError."""
        settings = frame(SETTINGS, 0, 0, struct.pack(">HI", _INITIAL_WINDOW_SIZE, window))
        wide = frame(WINDOW_UPDATE, 0, 0, (LARGEST_WINDOW - _DEFAULT_WINDOW).to_bytes(4))
        link = cls(await Connection.open(target), tally, reads=reads, window=window)
        try:
            await link.send(PREFACE + settings + wide)
            tally["connections"] += 1
            if reads:
                await link.wait()
        except BaseException:
            link.close()
            raise
        return link

    async def begin(
        self, path: str, *headers: tuple[str, str], end: bool = False, verb: str = "POST"
    ) -> Stream:
        """Begins a gRPC call, or with another verb a request of HTTP. Raises OSError."""
        stream = Stream(self, self._next, self._initial)
        self._next += 2
        self.streams[stream.number] = stream
        self._tally["calls"] += 1
        pairs = [(":method", verb), (":scheme", "http"), (":path", path), (":authority", "localhost")]
        if verb == "POST":
            pairs += [("content-type", "application/grpc"), ("te", "trailers")]
        flags = END_HEADERS | (END_STREAM if end else 0)
        await self.send(
            frame(HEADERS, flags, stream.number, block([*pairs, *headers, *credentials.headers().items()]))
        )
        return stream

    async def call(self, path: str, data: bytes, *headers: tuple[str, str]) -> str:
        """A whole call of one message, or of messages that are in their envelopes; gives how it ended."""
        stream = await self.begin(path, *headers)
        await stream.send(data, end=True)
        return await stream.ended

    async def send(self, data: bytes) -> None:
        if self.closed:
            raise ConnectionResetError
        await self._connection.send(data)

    async def wait(self) -> None:
        """Waits until the server has said anything that may open a window. Raises OSError."""
        if self.closed:
            raise ConnectionResetError
        self._opened.clear()
        await self._opened.wait()

    def finish(self, stream: Stream, how: str) -> None:
        self.streams.pop(stream.number, None)
        if not stream.ended.done():
            stream.ended.set_result(how)
            self._tally[how] += 1

    def close(self) -> None:
        self.closed = True
        self._connection.close()
        self._opened.set()
        for stream in list(self.streams.values()):
            self.finish(stream, "closed")
        self._watch.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def _read(self) -> None:
        reader = self._connection.reader
        with contextlib.suppress(OSError, EOFError):
            while head := await reader.readexactly(9):
                payload = await reader.readexactly(int.from_bytes(head[:3]))
                await self._handle(head[3], head[4], int.from_bytes(head[5:9]), payload)
        self.close()

    async def _until_gone(self) -> None:
        await self._connection.gone()
        self.close()

    async def _handle(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        stream = self.streams.get(number)
        if kind == DATA and payload and self._gives:
            more = len(payload).to_bytes(4)
            both = frame(WINDOW_UPDATE, 0, 0, more) + frame(WINDOW_UPDATE, 0, number, more)
            await self.send(both if stream else frame(WINDOW_UPDATE, 0, 0, more))
        if kind == DATA and stream:
            stream.replies += 1
            stream.received += len(payload)
        elif kind == WINDOW_UPDATE:
            if stream:
                stream.window += int.from_bytes(payload)
            elif not number:
                self.window += int.from_bytes(payload)
            self._opened.set()
        elif kind == SETTINGS and not flags & ACK:
            self._settle(payload)
            await self.send(frame(SETTINGS, ACK, 0))
            self._opened.set()
        elif kind == PING and not flags & ACK:
            await self.send(frame(PING, ACK, 0, payload))
        elif kind == RST_STREAM and stream:
            self.finish(stream, "reset")
            self._opened.set()
        if kind in (DATA, HEADERS) and flags & END_STREAM and stream:
            self.finish(stream, "served" if stream.replies else "refused")
            self._opened.set()

    def _settle(self, payload: bytes) -> None:
        for at in range(0, len(payload), 6):
            name, value = struct.unpack_from(">HI", payload, at)
            if name == _INITIAL_WINDOW_SIZE:
                for stream in self.streams.values():
                    stream.window += value - self._initial
                self._initial = value
            elif name == _MAX_FRAME_SIZE:
                self.largest = min(value, 1 << 18)


async def on_link(
    target: Target,
    tally: Tally,
    streams: int,
    one: Callable[[Link, int], Coroutine[Any, Any, None]],
    *,
    reads: bool = True,
    window: int = LARGEST_WINDOW,
) -> None:
    """Runs `one` so many times at once on one connection, and on a new one whenever that is closed."""

    async def once() -> None:
        async with await Link.open(target, tally, reads=reads, window=window) as link:
            await many(streams, partial(one, link))

    await again(tally, once)
