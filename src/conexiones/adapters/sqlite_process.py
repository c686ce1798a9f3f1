"""The process of sqlite_writer.py as the server sees it."""

import asyncio
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

from conexiones.adapters.program import interpreter
from conexiones.adapters.sqlite_writer import Answer, Decided, Work, message, messages

# Without site-packages: it needs nothing of them, and starts sooner.
PROGRAM = (
    "import sys; sys.path.append(sys.argv.pop(1)); from conexiones.adapters.sqlite_writer import main; main()"
)
SOURCES = Path(__file__).parents[2]


class WriterProcess(asyncio.Protocol):
    """Belongs to the event loop in which it is made. Use once: `start`, then the others, `stop` at last.

    `answered` is called with what became of the works that were sent, in their order.
    """

    def __init__(self, answered: Callable[[int, list[Decided]], None]) -> None:
        self.ended = asyncio.Event()
        self._answered = answered
        self._opened: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._come = bytearray()

    async def start(self, path: Path) -> int:
        """Starts it, and has it open the file; gives the sequence of the newest event. Raises what that
        raises, and OSError and EOFError if it cannot be started."""
        ours, theirs = socket.socketpair()
        python, environment = interpreter()
        try:
            # In the loop's own thread: the kernel ends the process with the thread that started it.
            self._process = subprocess.Popen(  # noqa: ASYNC220
                [python, "-I", "-S", "-c", PROGRAM, SOURCES, str(os.getpid()), path],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=environment,
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
            for _, error, trace in failed:
                if error is not None:
                    raise told(error, trace)
        except BaseException:
            await self.stop()
            raise
        return newest

    def send(self, works: list[Work]) -> None:
        self._transport.write(message(works))

    def finish(self) -> None:
        """Has it do what it was sent, close the file, and end."""
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
