"""A TCP relay to a server that answers GET requests of HTTP/1.1 otherwise, and passes all else on."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeAlias

Answer: TypeAlias = Callable[["Get"], Awaitable[None]]


class Get:
    """One GET request. `head`: its lines. What is written to `client` is the answer; `server` is a connection
    to the server, to which the request was sent."""

    def __init__(self, head: list[str], client: asyncio.StreamWriter, server: asyncio.StreamReader) -> None:
        self.head = head
        self.client = client
        self.server = server

    async def pass_on(self, change: Callable[[bytes], bytes] = bytes, most: int = 1 << 60) -> None:
        """The server's answer, with each piece of its body changed, up to so many bytes of it."""
        self.client.write(await self.server.readuntil(b"\r\n\r\n"))
        while most > 0 and (piece := await self.server.read(min(most, 1 << 16))):
            self.client.write(change(piece))
            await self.client.drain()
            most -= len(piece)


async def faithful(get: Get) -> None:
    await get.pass_on()


class Relay:
    def __init__(self, target: str, answer: Answer = faithful) -> None:
        self.address = ""
        self.gets: list[list[str]] = []
        """The heads of the GET requests so far."""
        self.open = 0
        """Connections with GET requests that are open."""
        self._target = target
        self._answer = answer
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        outward: asyncio.StreamWriter | None = None
        try:
            host, _, port = self._target.rpartition(":")
            inward, outward = await asyncio.open_connection(host, int(port))
            # As much as the preface of HTTP/2 has: what comes in less, Envoy takes for HTTP/1.
            begin = await reader.readexactly(24)
            outward.write(begin)
            if begin.startswith(b"GET "):
                head = await reader.readuntil(b"\r\n\r\n")
                outward.write(head)
                self.gets.append((begin + head).decode().split("\r\n")[:-2])
                self.open += 1
                try:
                    await self._answer(Get(self.gets[-1], writer, inward))
                    await writer.drain()
                finally:
                    self.open -= 1
            else:
                await asyncio.gather(_pump(reader, outward), _pump(inward, writer))
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            for end in (writer, outward):
                if end:
                    end.close()
            self._connections.discard(task)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while piece := await source.read(1 << 16):
        sink.write(piece)
        await sink.drain()
    sink.close()
