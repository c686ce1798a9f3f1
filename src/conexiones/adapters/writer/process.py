"""The process of program.py as the server sees it."""

import asyncio
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from conexiones.adapters.system.python import interpreter
from conexiones.adapters.writer.program import Order, Sent, message, messages
from conexiones.adapters.writer.ring import SIZE

# Without site-packages: it needs nothing of them, and starts sooner.
PROGRAM = """\
import sys
sys.path.append(sys.argv.pop(1))
from conexiones.adapters.writer.program import main
main()
"""
SOURCES = Path(__file__).parents[3]


Told: TypeAlias = tuple[Any, Exception | None, str, tuple[int, int] | None]
"""A Decided as it was sent."""


class WriterProcess(asyncio.Protocol):
    """Belongs to the event loop in which it is made. Use once: `start`, then the others, `stop` at last.

    `answered` is called with what became of what was sent, in its order.
    """

    def __init__(self, answered: Callable[[int, list[Told]], None]) -> None:
        self.ended = asyncio.Event()
        self._answered = answered
        self._opened: asyncio.Future[tuple[int, list[Told]]] = asyncio.get_running_loop().create_future()
        self._come = bytearray()

    async def start(self, catalog: Path | None, memory: int) -> int:
        """Starts it, and has it open the catalog; gives the sequence of the newest event. `memory` is the
        descriptor of the bytes that are shared. Raises what opening raises, and OSError and EOFError if it
        cannot be started."""
        ours, theirs = socket.socketpair()
        python, environment = interpreter()
        arguments = (str(os.getpid()), str(memory), str(SIZE), catalog or "")
        try:
            # In the loop's own thread: the kernel ends the process with the thread that started it.
            self._process = subprocess.Popen(  # noqa: ASYNC220
                [python, "-I", "-S", "-c", PROGRAM, SOURCES, *arguments],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=environment,
                pass_fds=[memory],
                start_new_session=True,  # a Ctrl-C in the server's terminal is the server's to handle
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._transport, _ = await asyncio.get_running_loop().create_connection(lambda: self, sock=ours)
        try:
            newest, failed = await self._opened
            for _, error, trace, _ in failed:
                if error is not None:
                    raise told(error, trace)
        except BaseException:
            await self.stop()
            raise
        return newest

    def send(self, items: list[Sent | Order]) -> None:
        self._transport.write(message(items))

    def finish(self) -> None:
        """Has it do what it was sent, close its files, and end."""
        if not self._transport.is_closing():
            self._transport.write_eof()

    async def stop(self) -> None:
        """When it has ended, or is to end at once: leaves nothing of it."""
        self._process.kill()
        self._transport.close()
        await asyncio.to_thread(self._process.wait)

    def data_received(self, data: bytes) -> None:
        self._come += data
        for answer in messages(self._come):
            if self._opened.done():
                self._answered(*answer)
            else:
                self._opened.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._opened.done():
            self._opened.set_exception(EOFError("it has ended"))
        self.ended.set()


class WriterFailed(Exception):
    """What happened in the process, as text."""


def told(error: Exception, trace: str) -> Exception:
    """An error that comes from the process, with its cause."""
    error.__cause__ = WriterFailed(trace)
    return error
