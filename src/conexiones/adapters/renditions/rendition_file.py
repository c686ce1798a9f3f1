"""The file of a kept rendition: the bytes of the rendition, and after them a trailer that says what it is.

The trailer is JSON (the fields of Rendered), its length in 4 bytes, big-endian, and MAGIC. All functions
block: they run in threads.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from conexiones.errors import StorageUnavailable
from conexiones.ports.records import Rendered

log = logging.getLogger("conexiones.renditions")

PIECE = 1 << 20
MAGIC = b"conexi\x001"

TOUCH_SECONDS = 60
"""The time of the last use, which is the file's modification time, is as exact as this."""


class KeptFile:
    """A RenditionFile that reads from an open descriptor. `run` runs a function in a thread."""

    def __init__(self, rendered: Rendered, descriptor: int, run: Callable[..., Awaitable[bytes]]) -> None:
        self._rendered = rendered
        self._descriptor = descriptor
        self._run = run

    @property
    def rendered(self) -> Rendered:
        return self._rendered

    async def read(self, offset: int = 0) -> AsyncIterator[bytes]:
        while offset < self._rendered.size:
            length = min(PIECE, self._rendered.size - offset)
            piece = await self._run(os.pread, self._descriptor, length, offset)
            if not piece:
                raise StorageUnavailable
            offset += len(piece)
            yield piece

    def close(self) -> None:
        os.close(self._descriptor)


def complete(path: Path, final: Path, rendered: Rendered) -> tuple[int, int]:
    """Appends the trailer to a new file and renames it. Gives an open descriptor of it, and its size."""
    fields = asdict(rendered) | {"sha256": rendered.sha256.hex()}
    text = json.dumps(fields).encode()
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    try:
        trailer = text + len(text).to_bytes(4) + MAGIC
        while trailer:
            trailer = trailer[os.write(descriptor, trailer) :]
        path.rename(final)
        return descriptor, os.fstat(descriptor).st_size
    except BaseException:
        os.close(descriptor)
        raise


def opened(path: Path, check: bool) -> tuple[Rendered, int] | None:
    """What a file holds, and an open descriptor of it.

    None if there is none, or a damaged one, which is removed. With `check` its bytes are compared with their
    SHA-256.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        rendered = _read_trailer(descriptor)
        if check:
            _check_bytes(descriptor, rendered)
        if time.time() - os.fstat(descriptor).st_mtime > TOUCH_SECONDS:
            os.utime(descriptor)
        return rendered, descriptor
    except (ValueError, KeyError, TypeError) as error:
        os.close(descriptor)
        log.warning("a damaged rendition, %s, is made again: %r", path.name, error)
        remove([path])
        return None
    except BaseException:
        os.close(descriptor)
        raise


def _read_trailer(descriptor: int) -> Rendered:
    """Raises ValueError, KeyError or TypeError if the trailer is not as `complete` wrote it."""
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, 4 + len(MAGIC), max(0, size - 4 - len(MAGIC)))
    length = int.from_bytes(tail[:4])
    start = size - len(tail) - length
    if tail[4:] != MAGIC or start < 0:
        raise ValueError("no trailer")
    fields = json.loads(os.pread(descriptor, length, start))
    rendered = Rendered(**fields | {"sha256": bytes.fromhex(fields["sha256"])})
    if rendered.size != start:
        raise ValueError(f"{start} bytes, not {rendered.size}")
    return rendered


def _check_bytes(descriptor: int, rendered: Rendered) -> None:
    """Raises ValueError if the bytes have another SHA-256."""
    sha = hashlib.sha256()
    for offset in range(0, rendered.size, PIECE):
        sha.update(os.pread(descriptor, min(PIECE, rendered.size - offset), offset))
    if sha.digest() != rendered.sha256:
        raise ValueError("other bytes")


def remove(paths: list[Path]) -> None:
    """Removes those of the files that are there."""
    for path in paths:
        with suppress(FileNotFoundError):
            path.unlink()
