"""The process of sqlite_writer.py as the server sees it."""

import asyncio
import os
import pickle
import socket
import subprocess
from pathlib import Path
from typing import cast

from conexiones.adapters.program import interpreter
from conexiones.adapters.sqlite_writer import Answer, Work, message

# Without site-packages: it needs nothing of them, and starts sooner.
PROGRAM = (
    "import sys; sys.path.append(sys.argv.pop(1)); from conexiones.adapters.sqlite_writer import main; main()"
)
SOURCES = Path(__file__).parents[2]


class WriterProcess:
    """Belongs to the event loop that made it. Use once: `start`, then the others, `stop` at last."""

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
        self._reader, self._writer = await asyncio.open_connection(sock=ours)
        try:
            newest, failed = await self.answer()
            for _, error, trace in failed:
                if error is not None:
                    raise told(error, trace)
        except BaseException:
            await self.stop()
            raise
        return newest

    def send(self, works: list[Work]) -> None:
        self._writer.write(message(works))

    async def answer(self) -> Answer:
        """What became of the works that it took next. Raises EOFError or OSError when it has ended."""
        size = int.from_bytes(await self._reader.readexactly(4))
        return cast(Answer, pickle.loads(await self._reader.readexactly(size)))  # noqa: S301 (our own process)

    def finish(self) -> None:
        """Has it do what it was sent, close the file, and end."""
        self._writer.write_eof()

    async def stop(self) -> None:
        """When it has ended, or is to end at once: leaves nothing of it."""
        self._process.kill()
        self._writer.close()
        await asyncio.to_thread(self._process.wait)


class WriterFailed(Exception):
    """What happened in the process, as text."""


def told(error: Exception, trace: str) -> Exception:
    """An error that comes from the process, with its cause."""
    error.__cause__ = WriterFailed(trace)
    return error
