"""A proxy that stands between a client of this process and a server, and records what both send."""

import asyncio
import shutil
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from conexiones.wire.recorder import Recorder

PIECE_BYTES = 64 << 10
CONNECT_SECONDS = 10.0
END_SECONDS = 0.25
"""How long the end of a recording waits for the client's last bytes, such as its GOAWAY."""
_MAX_PATH_BYTES = 90
"""A socket has room for 108, some of which is for its name."""

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxy:
    """Copies every connection to `path`, the path of a Unix socket, to the server at host and port.

    The client speaks plaintext to it. With `security`, the way to the server is encrypted, and ends here:
    what is recorded is what is inside. Nobody else can open the socket: its folder belongs to this user, and
    is private.
    """

    def __init__(
        self, host: str, port: int, recorder: Recorder, security: ssl.SSLContext | None = None
    ) -> None:
        self._place = (host, port)
        self._recorder = recorder
        self._security = security
        self._ready: _Streams | None = None
        """The first connection to the server, which is made before there is a client."""
        self._running: set[asyncio.Task[None]] = set()
        self._owner: asyncio.Task[object] | None = None
        self._failed: Exception | None = None
        self._folder = ""
        self._server: asyncio.Server | None = None
        self.path = ""
        self.problem: Exception | None = None
        """Why a connection to the server ended, or was not made, where it was an error."""

    async def open(self) -> None:
        """Connects to the server, for the first connection of the client. Raises OSError, ssl.SSLError among
        them, and TimeoutError."""
        self._ready = await self._reach()

    async def __aenter__(self) -> Self:
        self._owner = asyncio.current_task()
        self._folder = tempfile.mkdtemp(prefix="conexiones-wire-")
        if len(self._folder.encode()) > _MAX_PATH_BYTES:
            Path(self._folder).rmdir()  # noqa: ASYNC240 (it is empty)
            self._folder = tempfile.mkdtemp(prefix="conexiones-wire-", dir="/tmp")
        self.path = f"{self._folder}/wire"
        self._server = await asyncio.start_unix_server(self._accept, self.path)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raises what telling an event has raised."""
        if self._server is not None:
            self._server.close()
        if self._ready is not None:
            self._ready[1].transport.abort()
        if self._running:
            await asyncio.wait(self._running, timeout=END_SECONDS)
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._failed is not None:
            if isinstance(error, asyncio.CancelledError) and self._owner is not None:
                self._owner.uncancel()
            raise self._failed

    async def _reach(self) -> _Streams:
        host, port = self._place
        name = host if self._security else None
        async with asyncio.timeout(CONNECT_SECONDS):
            return await asyncio.open_connection(host, port, ssl=self._security, server_hostname=name)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._connection(reader, writer))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            ready, self._ready = self._ready, None
            inward, outward = ready or await self._reach()
            ends.append(outward)
            number = self._recorder.number()
            self._record(self._recorder.opened, number)
            await asyncio.gather(
                self._copy(number, True, reader, outward), self._copy(number, False, inward, writer)
            )
        except (OSError, TimeoutError) as error:
            self.problem = error  # the client sees that its connection is gone
        finally:
            for end in ends:
                end.transport.abort()

    async def _copy(
        self, number: int, sent: bool, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        while piece := await source.read(PIECE_BYTES):
            self._record(self._recorder.passed, number, sent, piece)
            sink.write(piece)
            await sink.drain()
        self._record(self._recorder.closed, number, sent)
        if sink.can_write_eof():
            sink.write_eof()
        else:
            sink.close()

    def _record(self, tell: Callable[..., None], *args: object) -> None:
        """If it cannot be told, nothing more is, and what runs inside the block is cancelled."""
        if self._failed is not None:
            return
        try:
            tell(*args)
        except Exception as error:
            self._failed = error
            if self._owner is not None:
                self._owner.cancel()
