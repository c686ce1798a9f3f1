"""A TCP proxy that behaves like a bad network; a seed decides what happens to each connection."""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum
from types import TracebackType
from typing import Self

PIECE = 64 << 10


class Fault(Enum):
    """What happens to one direction of a connection after a number of bytes."""

    NONE = "nothing happens"
    CUT = "reset, at once and for both sides"
    TRUNCATE = "half of what came still goes through, then it is closed"
    STALL = "nothing goes through any more, and nobody is told"
    DELAY = "every piece is late by some milliseconds"


class Proxy:
    """Stands before `target` (HOST:PORT) at `address`. The first `faulty` connections may break. When
    `cut_at` bytes have gone through in all, the connections that there are then are cut."""

    def __init__(
        self,
        target: str,
        seed: int,
        *,
        most_bytes: int,
        faulty: int = 6,
        faults: Sequence[Fault] = tuple(Fault),
        cut_at: int = 0,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.address = ""
        self._listens = host, port
        self._moving = asyncio.Event()
        self._moving.set()
        self.happened: list[Fault] = []
        self.accepted = 0
        self._target = target
        self._random = random.Random(seed)
        self._most_bytes = most_bytes
        self._faulty = faulty
        self._faults = faults
        self._cut_at = cut_at
        self._carried = 0
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, *self._listens)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.end()

    async def end(self) -> None:
        """Ends it as a server ends that is killed: nobody listens any more, and connections are reset."""
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def stand_still(self) -> None:
        """From now on it is as a server that was stopped by SIGSTOP: connections are made and stay, and
        nothing comes of them."""
        self._moving.clear()

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._connections)

    def cut(self) -> None:
        """Resets the connections that there are, at once and for both sides."""
        for connection in self._connections:
            if not connection.cancelling():
                connection.cancel()
                self.happened.append(Fault.CUT)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        self.accepted += 1
        up = down = Fault.NONE
        if self._faulty:
            self._faulty -= 1
            fault = self._random.choice(self._faults)
            up, down = self._random.choice([(fault, Fault.NONE), (Fault.NONE, fault)])
        # Evenly distributed over orders of magnitude, so that handshakes break as often as transfers.
        after = int(self._most_bytes ** self._random.random())
        host, _, port = self._target.rpartition(":")
        outward: asyncio.StreamWriter | None = None
        try:
            inward, outward = await asyncio.open_connection(host, int(port))
            both = (self._pump(reader, outward, up, after), self._pump(inward, writer, down, after))
            await asyncio.gather(*both)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for end in (writer, outward):
                if end:
                    end.transport.abort()
            self._connections.discard(task)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        fault: Fault,
        after: int,
    ) -> None:
        passed = 0
        noted = False
        while piece := await source.read(PIECE):
            passed += len(piece)
            self._carried += len(piece)
            if 0 < self._cut_at <= self._carried:
                self._cut_at = 0
                self.cut()
            if fault is not Fault.NONE and passed >= after:
                if not noted:
                    self.happened.append(fault)
                    noted = True
                if fault is Fault.STALL:
                    await asyncio.Event().wait()
                if fault is Fault.DELAY:
                    await asyncio.sleep(self._random.uniform(0, 0.02))  # the delay is the fault
                else:
                    if fault is Fault.TRUNCATE:
                        sink.write(piece[: len(piece) // 2])
                        with suppress(OSError):
                            await sink.drain()
                    raise ConnectionAbortedError
            await self._moving.wait()
            sink.write(piece)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()
