"""What Envoy, and what runs inside it, writes to standard error: the supervisor hands it on, line by line.

Envoy's lines and those of the application have the form of the log already. Others become records of it: what
pyvoy prints of an exception that ended a call is one record, and where lines are JSON, so is any other.
"""

import asyncio
import logging
import os
import re
import sys
from contextlib import suppress

log = logging.getLogger("conexiones.stderr")

LINE_BYTES = 1 << 16
"""A longer line is handed on in pieces."""

PRINTED_LINES = 500
"""An exception of more lines is handed on in pieces."""

END_SECONDS = 1.0
"""The longest wait for the last lines when Envoy has ended."""

_BEGINS = re.compile(rb"Exception in ASGI ")
_OF_THE_LOG = re.compile(rb"\{|\d{4}-\d\d-\d\d ")
_FRAMES = re.compile(rb"\s|Traceback ")


class BrokenOff(Exception):
    """Breaks off a response that has begun. pyvoy knows no other way, and prints it as it does a defect; the
    supervisor leaves it out, for the chain has logged the call's error, if that belongs into the log."""


class StandardError(asyncio.Protocol):
    """The reader of the pipe that is a process's standard error."""

    def __init__(self, form: str) -> None:
        self._json = form == "json"
        self._rest = b""
        self._printed: list[bytes] = []  # of an exception, so far
        self._ended = asyncio.Event()

    @classmethod
    async def open(cls, form: str) -> tuple["StandardError", int]:
        """Gives the reader too, and the end for the process, which the caller closes. `form` is that of the
        log: text or json."""
        ours, theirs = os.pipe()
        loop = asyncio.get_running_loop()
        _, reader = await loop.connect_read_pipe(lambda: cls(form), os.fdopen(ours, "rb", 0))
        return reader, theirs

    async def end(self) -> None:
        """Waits until all was handed on that was written, unless a process still has the pipe."""
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self._ended.wait()

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line)
        while len(self._rest) > LINE_BYTES:
            self._take(self._rest[:LINE_BYTES])
            self._rest = self._rest[LINE_BYTES:]

    def connection_lost(self, error: Exception | None) -> None:
        if self._rest:
            self._take(self._rest)
        self._tell()
        self._ended.set()

    def _take(self, line: bytes) -> None:
        if not line:
            return
        if self._printed and not _OF_THE_LOG.match(line):
            self._printed.append(line)
            if not _FRAMES.match(line) or len(self._printed) >= PRINTED_LINES:
                self._tell()
        elif _BEGINS.match(line):
            self._tell()
            self._printed.append(line)
        elif self._json and not line.startswith(b"{"):
            log.warning("%s", line.decode(errors="replace"))
        else:
            _write(line)

    def _tell(self) -> None:
        """Logs the exception that was printed."""
        if not self._printed:
            return
        what, *lines = (line.decode(errors="replace") for line in self._printed)
        self._printed.clear()
        if not lines or lines[-1].partition(":")[0] != BrokenOff.__name__:
            log.handle(log.makeRecord(log.name, logging.ERROR, "", 0, what, (), None, sinfo="\n".join(lines)))


def _write(line: bytes) -> None:
    with suppress(OSError, AttributeError):  # nobody reads it, or there is none
        sys.stderr.buffer.write(line + b"\n")
        sys.stderr.buffer.flush()
