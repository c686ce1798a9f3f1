"""Sources of uploads: files, bytes and streams, read as chunks that can be read again until they are
durable."""

import asyncio
import errno
import hashlib
import io
import os
import select
import stat
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias, cast
from unicodedata import category

import google_crc32c

from conexiones.sdk import places
from conexiones.sdk.failures import SourceChanged
from conexiones.sdk.threads import beside

AnySource: TypeAlias = (
    str | PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Iterable[bytes] | AsyncIterable[bytes]
)

PIECE_BYTES = 256 << 10
"""Bytes that are read at a time from what can be read only once."""

REHASH_BYTES = 8 << 20
"""Bytes that are hashed at a time when nothing is sent. Cancelling has to wait for one such piece."""


INLINE_BYTES = 64 << 10
"""Bytes in memory, or in a file, that are read and hashed at once, since a thread would take longer to begin.
Opening the file waits for its disk, too."""

NAME_BYTES = 255
"""The longest name of a file that the server takes, in UTF-8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewImage:
    """One image to send with `upload_many`. The fields are those of `upload`."""

    source: AnySource
    user: str | None = None
    """None for the `user` of the call."""
    name: str | None = None
    sha256: bytes | str | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some bytes of a source. `data` is empty at the end of the source."""

    offset: int
    data: bytes
    crc32c: int


class Source(Protocol):
    """The methods must not be called concurrently.

    size: bytes of the whole source, or None if unknown.
    quick: reading takes only the time of the disk or memory, and never waits for whoever produces the bytes.
    again: whether all of it can still be read, from its first byte on.
    failure: what an iterable raised. It gives nothing after that, and would seem to end there.
    """

    size: int | None
    quick: bool
    failure: Exception | None

    @property
    def again(self) -> bool: ...

    async def chunk(self, offset: int, size: int) -> Chunk:
        """At most `size` bytes from `offset` on. `offset` must not be less than what was last released.

        Raises SourceChanged, and whatever reading the source raises.
        """
        ...

    def release(self, offset: int) -> None:
        """Promises that nothing before `offset` will be asked for again."""
        ...

    async def digest(self) -> bytes:
        """The SHA-256 of the whole source, empty if hashing was not asked for. Call it after the last
        chunk."""
        ...

    def close(self) -> None: ...


def open_source(source: AnySource, *, hashing: bool) -> Source:
    """The Source for anything that `upload` accepts. Raises OSError if a file cannot be opened, ValueError
    for a URL, and TypeError for an object that is no source."""
    if isinstance(source, str | PathLike):
        return _of_path(Path(source), str(source), hashing=hashing)
    if isinstance(source, bytes | bytearray | memoryview):
        return Seekable(io.BytesIO(source), hashing=hashing, owned=True)
    if isinstance(source, io.TextIOBase):
        raise TypeError('source is a file that is open as text: open it in the mode "rb".')
    if hasattr(source, "read"):
        file = cast(BinaryIO, source)
        if _seekable(file):
            return Seekable(file, hashing=hashing, owned=False)
        return Stream(_read(file), hashing=hashing)
    if isinstance(source, AsyncIterable):
        return Stream(aiter(source), hashing=hashing)
    if isinstance(source, Iterable):
        return Stream(iter(source), hashing=hashing)
    raise TypeError(f"source is a path, bytes, a binary file or an iterable of bytes, not {type(source)}")


def name_of(source: AnySource) -> str:
    """The name of the file, if the source is the path of one; otherwise empty. What the server does not take
    in a name is replaced."""
    if not isinstance(source, str | PathLike):
        return ""
    path = Path(source)
    return sendable(path.name) if places.is_regular(path) else ""


def sendable(name: str) -> str:
    """The name of a file as the server takes it."""
    if name.isascii() and name.isprintable() and len(name) <= NAME_BYTES:
        return name
    text = os.fsencode(name).decode(errors="replace")
    printable = "".join("_" if category(one) in {"Cc", "Zl", "Zp"} else one for one in text)
    return printable.encode()[:NAME_BYTES].decode(errors="ignore")


def _of_path(path: Path, text: str, *, hashing: bool) -> Source:
    if places.is_url(text):
        url = places.shortened(text)
        raise ValueError(f"{url} is a URL, and a source is a path or bytes: {_instead(text)}.")
    if places.is_regular(path):
        return Seekable(path.open("rb"), hashing=hashing, owned=True)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "This is a folder", str(path))
    if places.descriptor(path) is not None or path.is_block_device():
        file = places.opened(path)
        if file.seekable() and not os.isatty(file.fileno()):
            return Seekable(file, hashing=hashing, owned=True)
        return Stream(_pieces(file), hashing=hashing)
    path.stat()  # raises if nothing is there
    return Stream(_pieces(path), hashing=hashing)


def _instead(url: str) -> str:
    """What to give instead of a URL."""
    if url[:5].lower() == "file:":
        return "give the path of the file"
    if url[:5].lower() == "data:":
        return "decode it, and give the bytes"
    return "download it, for example with curl, and give the file"


def _pieces(place: Path | BinaryIO) -> Iterator[bytes]:
    """What comes out of a pipe, a device or a socket, as it comes. A path is opened with the first piece."""
    with places.opened(place) if isinstance(place, Path) else place as file:
        yield from _read(file)


def _read(file: BinaryIO) -> Iterator[bytes]:
    while (piece := file.read(PIECE_BYTES)) != b"":
        if piece is None:
            select.select([file], [], [])  # it does not block, and has nothing yet
        else:
            yield piece


def _seekable(file: BinaryIO) -> bool:
    seekable = getattr(file, "seekable", None)
    return bool(seekable and seekable())


class Seekable:
    """A file or bytes, which can be read again. A file begins at its current position; its size is taken
    once."""

    def __init__(self, file: BinaryIO, *, hashing: bool, owned: bool) -> None:
        self.quick = True
        self.failure: Exception | None = None
        self._file = file
        self._owned = owned
        self._start = file.tell()
        self._end = file.seek(0, os.SEEK_END) - self._start
        self.size: int | None = self._end
        self._hash = hashlib.sha256() if hashing else None
        self._hashed = 0
        self._written = _written(file) if owned else None

    @property
    def again(self) -> bool:
        return True

    async def chunk(self, offset: int, size: int) -> Chunk:
        # The bytes that an earlier process sent are read only to be hashed.
        while self._hash and self._hashed < offset:
            await asyncio.to_thread(self._take, self._hashed, min(REHASH_BYTES, offset - self._hashed))
        here = isinstance(self._file, io.BytesIO) or self._written is not None
        if here and min(size, self._end) <= INLINE_BYTES:
            return self._take(offset, size)
        return await asyncio.to_thread(self._take, offset, size)

    def release(self, offset: int) -> None:
        pass

    async def digest(self) -> bytes:
        while self._hash and self._hashed < self._end:
            await asyncio.to_thread(self._take, self._hashed, REHASH_BYTES)
        if self._written != (_written(self._file) if self._owned else None):
            raise SourceChanged(what="it was written to while it was read")
        return self._hash.digest() if self._hash else b""

    def close(self) -> None:
        if self._owned:
            self._file.close()

    def _take(self, offset: int, size: int) -> Chunk:
        size = min(size, self._end - offset)
        self._file.seek(self._start + offset)
        data = self._file.read(size) or b""
        while len(data) < size and (more := self._file.read(size - len(data))):
            data += more
        if len(data) < size:
            raise SourceChanged(what=f"it ends at {offset + len(data)} bytes, not at {self._end}")
        if self._hash and offset <= self._hashed < offset + len(data):
            self._hash.update(memoryview(data)[self._hashed - offset :])
            self._hashed = offset + len(data)
        return Chunk(offset, data, google_crc32c.value(data))


def _written(file: BinaryIO) -> tuple[int, int] | None:
    """The size and the time of the last change of a regular file; None for anything else."""
    if isinstance(file, io.BytesIO):
        return None
    found = os.fstat(file.fileno())
    return (found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


class Stream:
    """A source that can be read only once. Its bytes are kept until they are released."""

    def __init__(self, pieces: Iterator[bytes] | AsyncIterator[bytes], *, hashing: bool) -> None:
        self.size: int | None = None
        self.quick = False
        self.failure: Exception | None = None
        self._pieces = pieces
        self._kept = bytearray()
        self._start = 0
        self._ended = False
        self._hash = hashlib.sha256() if hashing else None

    @property
    def again(self) -> bool:
        return not self._start

    async def chunk(self, offset: int, size: int) -> Chunk:
        while not self._ended and self._start + len(self._kept) < offset + size:
            await self._pull()
        begin = offset - self._start
        if not 0 <= begin <= len(self._kept):
            raise SourceChanged(what=f"byte {offset} is wanted, but a stream comes once")
        with memoryview(self._kept) as kept:
            data = bytes(kept[begin : begin + size])
        return Chunk(offset, data, google_crc32c.value(data))

    async def _pull(self) -> None:
        piece: Any
        if self.failure is not None:
            raise self.failure
        try:
            if isinstance(self._pieces, AsyncIterator):
                piece = await anext(self._pieces, None)
            else:
                piece = await beside(next, self._pieces, None)
        except Exception as error:
            self.failure = error
            raise
        if piece is None:
            self._ended = True
            return
        if not isinstance(piece, bytes | bytearray | memoryview):
            raise TypeError(f"a source gives bytes, not {type(piece)}")
        if self._hash:
            if len(piece) < 1 << 16:
                self._hash.update(piece)
            else:
                await asyncio.to_thread(self._hash.update, piece)
        self._kept += piece

    def release(self, offset: int) -> None:
        if offset > self._start:
            del self._kept[: offset - self._start]
            self._start = offset

    async def digest(self) -> bytes:
        return self._hash.digest() if self._hash else b""

    def close(self) -> None:
        pass
