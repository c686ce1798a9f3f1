"""A client of HTTP/2 that takes what it can and reads nothing: for the memory that others would lack."""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

GRPC = "application/grpc"

_HEADERS, _SETTINGS, _DATA = 1, 4, 0
_END_STREAM, _END_HEADERS = 1, 4
_INITIAL_WINDOW = 4


class Unread:
    """One connection whose replies are never read, beyond what the kernel takes in. `window` is the window
    of each of its streams: with 0, the server may send no byte of a reply."""

    def __init__(self, address: str, *, window: int = 65535) -> None:
        self._address = address
        self._window = window
        self._stream = 1

    async def open(self) -> None:
        host, _, port = self._address.rpartition(":")
        self._reader, self._writer = await asyncio.open_connection(host, int(port))
        settings = struct.pack(">HI", _INITIAL_WINDOW, self._window)
        self._writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, 0, settings))
        self._writer.write(_frame(_SETTINGS, 1, 0))
        self._draining = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        """Reads frames and drops them. It opens no window again."""
        with suppress(OSError):
            while await self._reader.read(65536):
                pass

    async def call(self, path: str, body: bytes = b"", *, kind: str = GRPC, method: str = "POST") -> None:
        """Begins a call with that body, of at most 16 KiB."""
        fields = {
            ":method": method,
            ":scheme": "http",
            ":path": path,
            ":authority": self._address,
            "content-type": kind,
            "te": "trailers",
        }
        block = b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())
        ends = 0 if body else _END_STREAM
        self._writer.write(_frame(_HEADERS, _END_HEADERS | ends, self._stream, block))
        if body:
            self._writer.write(_frame(_DATA, _END_STREAM, self._stream, body))
        self._stream += 2
        with suppress(OSError):
            await self._writer.drain()

    async def close(self) -> None:
        self._draining.cancel()
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()


@asynccontextmanager
async def unread(address: str, connections: int, *, window: int = 65535) -> AsyncIterator[list[Unread]]:
    """So many connections, which are closed at the end."""
    opened = [Unread(address, window=window) for _ in range(connections)]
    for one in opened:
        await one.open()
    try:
        yield opened
    finally:
        for one in opened:
            await one.close()


def _frame(kind: int, flags: int, stream: int, data: bytes = b"") -> bytes:
    return len(data).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + data


def _text(text: str) -> bytes:
    """A string of HPACK without Huffman's code (RFC 7541, section 5.2)."""
    return bytes(_length(len(text))) + text.encode()


def _length(size: int) -> Iterator[int]:
    if size < 127:
        yield size
        return
    yield 127
    size -= 127
    while size > 127:
        yield size & 127 | 128
        size >>= 7
    yield size
