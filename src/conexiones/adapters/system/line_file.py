"""A file to which lines are appended, while others may read it, move it away or stop reading it."""

import asyncio
import errno
import json
import logging
import os
import select
import stat
import time
from contextlib import suppress
from datetime import UTC, datetime
from os.path import sameopenfile
from pathlib import Path

PAUSE_SECONDS = 0.1
"""Time between two writes. What came in between is written at once."""

RETRY_SECONDS = 1.0
"""The same after a write that failed."""

MAX_PENDING = 4 << 20
"""Bytes that wait to be written, while they cannot be. Later lines are lost."""

OUTPUT = Path("-")
"""The path that stands for standard output."""

_OUTPUT = 1
_PIPE_BUF = 4096
"""Bytes for which a pipe that is ready has room."""

_log = logging.getLogger("conexiones.lines")


class LineFile:
    """Belongs to one event loop. `name` is what the file is: "audit log", "access log".

    Lines are appended as a whole by one writer, and are in the file within a second, or when it is closed;
    they are not synced to the disk. While the file cannot be written, the log says so once, lines wait in
    memory, and those for which there is no room are counted. If another file is opened meanwhile, it begins
    with a whole line, and the one before may end within it.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._file = -1
        self._lines: list[bytes] = []
        self._size = 0  # of the lines and of `_rest`
        self._rest = b""  # of what could not be written; it may begin within a line
        self._begun = b""  # of that line, what was written
        self._lost = 0
        self._fails = False
        self._again = False
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Raises ValueError, with a sentence for the operator, if the file cannot be written."""
        try:
            self._file = await asyncio.to_thread(_open, self._path)
        except OSError as error:
            raise ValueError(f"Cannot write the {self._name} {self._path}: {error.strerror}.") from None
        self._task = asyncio.create_task(self._run())

    @property
    def full(self) -> bool:
        """Whether a line would be lost."""
        return self._size > MAX_PENDING

    def append(self, line: bytes) -> None:
        """Has a line written soon, with its end. It never fails, and waits for nothing."""
        if self.full:
            self.lose()
            return
        self._lines.append(line)
        self._size += len(line)
        self._news.set()

    def lose(self) -> None:
        """Counts a line for which there is no room."""
        self._lost += 1

    def open_again(self) -> None:
        """Opens the path again, at which there may be another file now."""
        self._again = True
        self._news.set()

    async def close(self) -> None:
        """Writes what is left."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        await self._flush()
        if self._fails:
            lost = self._rest.count(b"\n") + self._lost
            _log.error("The %s %s could not be written: %d lines are lost", self._name, self._path, lost)
        _close(self._file)

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            # To its end even if this task is cancelled: a line is not written twice, or in part.
            flushing = asyncio.ensure_future(self._flush())
            try:
                await asyncio.shield(flushing)
            except asyncio.CancelledError:
                await flushing
                raise
            if self._fails:
                self._news.set()
            await asyncio.sleep(RETRY_SECONDS if self._fails else PAUSE_SECONDS)

    async def _flush(self) -> None:
        if self._again:
            self._again = False
            await self._open_again()
        data, self._lines = self._rest + b"".join(self._lines), []
        lost, self._lost = self._lost, 0
        if lost and not self._fails:
            data += self.note_of_lost(lost)
        elif lost:
            self._lost = lost
        if not data:
            return
        written, error = await asyncio.to_thread(_append, self._file, data)
        self._rest = data[written:]
        if self._rest:
            ended = data.rfind(b"\n", 0, written) + 1
            self._begun = data[ended:written] if ended else self._begun + data[:written]
        else:
            self._begun = b""
        self._size = len(self._rest) + sum(map(len, self._lines))
        if error is not None and not self._fails:
            _log.error("The %s %s cannot be written: %s; it is tried again", self._name, self._path, error)
        elif error is None and self._fails:
            _log.warning("The %s %s is written again", self._name, self._path)
            self._news.set()  # to say how many were lost
        self._fails = error is not None

    async def _open_again(self) -> None:
        try:
            file = await asyncio.to_thread(_open, self._path)
        except OSError as error:
            _log.error("The %s %s cannot be opened again: %s", self._name, self._path, error.strerror)
            return
        old, self._file = self._file, file
        try:
            same = await asyncio.to_thread(sameopenfile, old, file)
        except OSError:  # the file system of the old one is away
            same = False
        if not same:
            self._rest, self._begun = self._begun + self._rest, b""
        _close(old)

    def note_of_lost(self, count: int) -> bytes:
        """A line that says how many lines are missing before it."""
        event = self._name.replace(" log", ".lost")
        note = {"time": timestamp(time.time_ns() // 1000), "event": event, "lines": count}
        return json.dumps(note).encode() + b"\n"


def timestamp(micros: int) -> str:
    """The time as RFC 3339 has it, in UTC, with microseconds."""
    seconds, rest = divmod(micros, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06}Z"


def _open(path: Path) -> int:
    if path == OUTPUT:
        return os.dup(_OUTPUT)
    # A pipe that nobody reads is an error, not a reason to wait.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    return os.open(path, flags, 0o600)


def _close(file: int) -> None:
    with suppress(OSError):  # some file systems say only now that what was written did not get there
        os.close(file)


def _append(file: int, data: bytes) -> tuple[int, str | None]:
    """How many bytes were written, and what went wrong. A pipe or a terminal that is full is an error, not a
    reason to wait, also where it is standard output, which others share and expect to wait for."""
    ready = select.poll()
    ready.register(file, select.POLLOUT)
    written = 0
    try:
        most = len(data) if stat.S_ISREG(os.fstat(file).st_mode) else _PIPE_BUF
        while written < len(data):
            if not ready.poll(0):
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            written += os.write(file, data[written : written + most])
    except OSError as error:
        return written, error.strerror or errno.errorcode.get(error.errno or 0, "an error")
    return written, None
