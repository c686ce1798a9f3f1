"""Ways between clients, servers and the object store that fail. The one to the database is in
tests/adapters/catalog/postgres/cutting.py."""

import asyncio
import re
from contextlib import suppress
from typing import Literal

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)
_REFUSED = {
    "busy": (b"503 Slow Down", b"SlowDown"),
    "failing": (b"500 Internal Server Error", b"InternalError"),
}

Mood = Literal["", "busy", "failing", "slow", "mute", "still"]
"""How an object store answers: as it is; with 503 SlowDown; with an error; late; or not at all, though it has
done what it was asked, or since it stands still."""

LATE_SECONDS = 0.7


class Way:
    """Passes on all bytes between clients and `port` of this machine, at `own` port."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.own = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._listening: asyncio.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.own}"

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._writers) // 2

    async def open(self) -> None:
        """Also again, on the same port."""
        self._listening = await asyncio.start_server(self._accept, "127.0.0.1", self.own)
        self.own = self._listening.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Nobody comes through, and whoever was on the way is lost."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        self.cut()

    def cut(self) -> None:
        """Resets the connections that there are."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        forth: asyncio.StreamWriter | None = None
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self.port)
            self._writers.add(forth)
            await self._carry(reader, writer, back, forth)
        except (OSError, EOFError):
            pass
        finally:
            for one in (writer, forth):
                if one is not None:
                    one.transport.abort()
                    self._writers.discard(one)

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        back: asyncio.StreamReader,
        forth: asyncio.StreamWriter,
    ) -> None:
        await asyncio.gather(_copy(reader, forth), _copy(back, writer))


class ObjectWay(Way):
    """One to an object store, request by request."""

    mood: Mood = ""

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        back: asyncio.StreamReader,
        forth: asyncio.StreamWriter,
    ) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            mood = self.mood
            if mood in _REFUSED:
                await _pass(head, reader, None)
                writer.write(_refusal(*_REFUSED[mood]))
                await writer.drain()
                continue
            if mood == "slow":
                await asyncio.sleep(LATE_SECONDS)  # which is what is tried
            if mood == "still":
                await reader.read()  # whoever has asked goes away in the end
                return
            forth.write(head)
            await _pass(head, reader, forth)
            answer = await back.readuntil(b"\r\n\r\n")
            if mood == "mute":
                return
            writer.write(answer)
            if not head.startswith(b"HEAD ") and answer[9:12] not in {b"204", b"304"}:
                await _pass(answer, back, writer)
            await writer.drain()


async def _pass(head: bytes, source: asyncio.StreamReader, sink: asyncio.StreamWriter | None) -> None:
    """Passes on the body behind a head, or drops it."""
    if _CHUNKED.search(head):
        left = 1
        while left:
            line = await source.readuntil(b"\r\n")
            left = int(line.partition(b";")[0], 16)
            piece = line + await source.readexactly(left + 2)
            if sink:
                sink.write(piece)
    elif length := _LENGTH.search(head):
        left = int(length[1])
        while left:
            piece = await source.read(min(left, 1 << 16))
            if not piece:
                raise EOFError
            left -= len(piece)
            if sink:
                sink.write(piece)
                await sink.drain()
    if sink:
        await sink.drain()


def _refusal(status: bytes, code: bytes) -> bytes:
    body = b"<Error><Code>%b</Code><Message>made up</Message></Error>" % code
    return b"HTTP/1.1 %b\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n%b" % (
        status,
        len(body),
        body,
    )


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    with suppress(OSError):
        writer.write_eof()
