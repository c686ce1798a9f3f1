"""A way to the object server that can be cut."""

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit


class Way:
    """Passes on what goes to the server at `url`, and what comes back."""

    def __init__(self, url: str) -> None:
        self._server = urlsplit(url)
        self._writers: set[asyncio.StreamWriter] = set()
        self._port = 0
        self._listening: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def open(self) -> None:
        """Also again, when it was cut."""
        self._listening = await asyncio.start_server(self._pass_on, "127.0.0.1", self._port)
        self._port = self._listening.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Nobody comes through, and whoever was on the way is lost."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        for writer in list(self._writers):
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection(self._server.hostname, self._server.port)
        self._writers |= {writer, forth}
        with suppress(OSError):
            await asyncio.gather(_copy(reader, forth), _copy(back, writer))
        for one in (writer, forth):
            one.transport.abort()
            self._writers.discard(one)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()
