"""The writing process as the server sees it."""

import asyncio
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from conexiones.adapters.system.python import interpreter
from conexiones.adapters.writer.messages import (
    Answer,
    Attach,
    Order,
    Sent,
    Told,
    Took,
    message,
    messages,
    raised,
)
from conexiones.adapters.writer.ring import SIZE

# Without site-packages: the program needs nothing of them, and starts sooner.
PROGRAM = """\
import sys
sys.path.append(sys.argv.pop(1))
from conexiones.adapters.writer.group_commit import main
main()
"""
SOURCES = Path(__file__).parents[3]


class DatabaseToOpen(NamedTuple):
    """The module and the name of the class of a group_commit.Database, and the path that it is made with."""

    module: str
    name: str
    path: str


NO_DATABASE = DatabaseToOpen("", "", "")


class WriterProcess(asyncio.Protocol):
    """Belongs to the event loop in which it is made, and is used once: `start`, any others, `stop` at last.

    `answered` is called with the sequence of the newest event, what became of a group of what was sent, in
    the order in which it was sent, and how long that took. `ended` is set when the process has ended, for
    whatever reason.
    """

    def __init__(self, answered: Callable[[int, list[Told], Took], None]) -> None:
        self.ended = asyncio.Event()
        self._answered = answered
        self._opened: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._received = bytearray()

    async def start(self, database: DatabaseToOpen, memory: int) -> int:
        """Starts the process and has it open the database; gives the sequence of the newest event.

        `memory` is the descriptor of the shared memory. Raises what opening the database raises, and OSError
        or EOFError if the process cannot be started.
        """
        ours, theirs = socket.socketpair()
        python, environment = interpreter()
        arguments = (str(os.getpid()), str(memory), str(SIZE), *database)
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
            newest, failures, _ = await self._opened
            for _, error, trace, _ in failures:
                if error is not None:
                    raise raised(error, trace)
        except BaseException:
            await self.stop()
            raise
        return newest

    @property
    def pid(self) -> int:
        """The number of the process, once it was started."""
        return self._process.pid

    def send(self, items: list[Sent | Order | Attach]) -> None:
        if not self._transport.is_closing():  # the process has ended, and who waits for `ended` is told next
            self._transport.write(message(items))

    def finish(self) -> None:
        """Has the process do what it was sent, close its files, and end."""
        if not self._transport.is_closing():
            self._transport.write_eof()

    async def stop(self) -> None:
        """Ends the process at once, if it has not ended, and leaves nothing of it."""
        self._process.kill()
        self._transport.close()
        await asyncio.to_thread(self._process.wait)

    def data_received(self, data: bytes) -> None:
        self._received += data
        for answer in messages(self._received):
            if self._opened.done():
                self._answered(*answer)
            else:
                self._opened.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._opened.done():
            self._opened.set_exception(EOFError("the process has ended"))
        self.ended.set()
