"""A way to the database that can be cut, at the worst moments."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

SOCKET = ".s.PGSQL.5432"

COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
"""The message with which a transaction is committed: a simple query, its length, its text."""

Cut = Literal["before the commit", "after the commit"]


class Way:
    """Passes on what goes to the database at `url`, and what comes back. `cut` says what happens to the next
    commit: the connection is lost before the server has heard of it, or when it is done, without an answer.
    While it is `closed`, nobody comes through, and while `moving` is not set, nothing does."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._server = Path(parse_qs(urlsplit(url).query)["host"][0]) / SOCKET
        self.url = url.replace(str(self._server.parent), str(folder))
        self.cut: Cut | None = None
        self.closed = False
        self.close_after_cut = False
        self.was_cut = asyncio.Event()
        self.moving = asyncio.Event()
        self.moving.set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        self._listening = await asyncio.start_unix_server(self._pass_on, self._folder / SOCKET)

    async def close(self) -> None:
        self._listening.close()
        self.break_all()
        await self._listening.wait_closed()

    def break_all(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.closed:
            writer.transport.abort()
            return
        try:
            from_server, to_server = await asyncio.open_unix_connection(self._server)
        except OSError:  # the server is not there
            writer.transport.abort()
            return
        self._writers |= {writer, to_server}
        cutting = asyncio.Event()
        with suppress(OSError):
            await asyncio.gather(
                self._forth(reader, to_server, writer, cutting), self._back(from_server, writer, cutting)
            )
        for one in (writer, to_server):
            one.transport.abort()
            self._writers.discard(one)

    async def _forth(
        self,
        reader: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
        back: asyncio.StreamWriter,
        cutting: asyncio.Event,
    ) -> None:
        while data := await reader.read(1 << 16):
            await self.moving.wait()
            if self.cut and COMMIT in data:
                cut, self.cut = self.cut, None
                self.closed = self.close_after_cut
                if cut == "before the commit":
                    back.transport.abort()
                    self.was_cut.set()
                    break
                cutting.set()  # the answer is what ends it
            to_server.write(data)
            await to_server.drain()
        to_server.close()

    async def _back(
        self, from_server: asyncio.StreamReader, writer: asyncio.StreamWriter, cutting: asyncio.Event
    ) -> None:
        while data := await from_server.read(1 << 16):
            await self.moving.wait()
            if cutting.is_set():
                writer.transport.abort()
                self.was_cut.set()
                break
            writer.write(data)
            await writer.drain()
        writer.close()
