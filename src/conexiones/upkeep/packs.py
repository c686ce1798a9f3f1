"""The small images of backups, many to a file.

    packs/<8 hex digits>                  records, as in the segments of a data folder (segments.py)
    packs/<8 hex digits>.unfinished       one that is being written

A pack never changes once it has its name: it was fsynced, and read back from the disk, before. A run of the
backup that is killed leaves an unfinished one, whose whole records the next run keeps.
"""

import hashlib
import os
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from conexiones.adapters.blobs.local.segment_records import HEAD, head_of, read_head
from conexiones.adapters.system.disk import sync_folder
from conexiones.errors import BlobCorrupt
from conexiones.upkeep.problem import Problem

PACK = 64 << 20
"""Bytes at which a pack is full."""

SMALL_PACKS = 16
"""So many packs of less than a quarter of PACK may be there before they are written anew as one."""

_UNFINISHED = ".unfinished"

_NAME = re.compile("[0-9a-f]{8}")
"""Files of other names are not ours, and stay."""


class Place(NamedTuple):
    pack: int
    offset: int  # of the record
    size: int  # of the image


class Packs:
    """The packs in a folder, which is there. It keeps where each image is in memory: some 250 bytes each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places: dict[bytes, Place] = {}
        self._sizes: dict[int, int] = {}
        self._descriptor = -1  # of the unfinished one
        self._number = -1
        self._end = 0
        self._added: dict[bytes, Place] = {}
        for number in self.numbers():
            self._add_pack(number)

    def numbers(self) -> list[int]:
        names = (path.name for path in self._folder.iterdir())
        return sorted(int(name, 16) for name in names if _NAME.fullmatch(name))

    def _add_pack(self, number: int) -> None:
        path = self._path(number)
        self._sizes[number] = path.stat().st_size
        for digest, offset, size in _heads(path):
            self._places[digest] = Place(number, offset, size)

    def recover(self) -> None:
        """Keeps what is whole of packs that are unfinished."""
        for path in sorted(self._folder.glob(f"*{_UNFINISHED}")):
            if not _NAME.fullmatch(path.stem):
                continue
            with path.open("r+b") as file:
                os.fsync(file.fileno())  # so that what is read is on the disk
                drop_cached(file.fileno())
                file.truncate(_whole(path))
                os.fsync(file.fileno())
            if path.stat().st_size:
                path.replace(path.with_suffix(""))
                self._add_pack(int(path.stem, 16))
            else:
                path.unlink()
        sync_folder(self._folder)

    def has(self, digest: bytes) -> bool:
        return digest in self._places or digest in self._added

    def forget(self, digest: bytes) -> None:
        """Has a damaged one written anew when it comes."""
        self._places.pop(digest, None)

    def read(self, digest: bytes) -> bytes:
        """BlobCorrupt if it is damaged or not there."""
        place = self._places.get(digest)
        if place is None:
            raise BlobCorrupt
        descriptor = os.open(self._path(place.pack), os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.pread(descriptor, place.size, place.offset + HEAD.size)
        finally:
            os.close(descriptor)
        if hashlib.sha256(data).digest() != digest:
            raise BlobCorrupt
        return data

    def add(self, digest: bytes, data: bytes) -> None:
        """Adds an image; it counts as there when `finish` has returned."""
        if self._descriptor < 0:
            self._number = max(self.numbers(), default=-1) + 1
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(self._unfinished(), flags, 0o600)
            self._end = 0
        write_whole(self._descriptor, head_of(len(data), digest) + data)
        self._added[digest] = Place(self._number, self._end, len(data))
        self._end += HEAD.size + len(data)
        if self._end >= PACK:
            self.finish()

    def finish(self) -> None:
        """Makes durable what was added, and reads it back."""
        if self._descriptor < 0:
            return
        os.fsync(self._descriptor)
        drop_cached(self._descriptor)
        if _whole(self._unfinished()) != self._end:
            says = "reads back other bytes than were written: its disk cannot be relied on."
            raise Problem(f"{self._unfinished()} {says}")
        os.close(self._descriptor)
        self._descriptor = -1
        self._unfinished().replace(self._path(self._number))
        sync_folder(self._folder)
        self._places |= self._added
        self._sizes[self._number] = self._end
        self._added.clear()

    def close(self) -> None:
        if self._descriptor >= 0:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1

    def thin_out(self, needed: Collection[bytes]) -> None:
        """Writes images anew that are in packs of which less than half is needed, and in small packs if these
        are many. The packs go with `prune`."""
        live = dict.fromkeys(self._sizes, 0)
        for digest, place in self._places.items():
            if digest in needed:
                live[place.pack] += HEAD.size + place.size
        thin = {number for number, size in self._sizes.items() if live[number] * 2 < size}
        small = [number for number, size in self._sizes.items() if size * 4 < PACK]
        if len(small) > SMALL_PACKS:
            thin.update(small)
        moving = [digest for digest, place in self._places.items() if place.pack in thin and digest in needed]
        for digest in moving:
            try:
                self.add(digest, self.read(digest))
            except BlobCorrupt:
                self.forget(digest)

    def prune(self, needed: Collection[bytes]) -> None:
        """Removes the packs of which nothing is needed."""
        used = {place.pack for digest, place in self._places.items() if digest in needed}
        for number in self.numbers():
            if number not in used:
                self._path(number).unlink()
        sync_folder(self._folder)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08x}"

    def _unfinished(self) -> Path:
        return self._folder / f"{self._number:08x}{_UNFINISHED}"


def _heads(path: Path) -> Iterator[tuple[bytes, int, int]]:
    """Digest, offset and size of each record, until one that is damaged or not all there."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        at, end = 0, os.fstat(descriptor).st_size
        while (found := read_head(os.pread(descriptor, HEAD.size, at))) is not None:
            size, digest = found
            if at + HEAD.size + size > end:
                return
            yield digest, at, size
            at += HEAD.size + size
    finally:
        os.close(descriptor)


def _whole(path: Path) -> int:
    """The bytes of all records until the first that is not whole."""
    end = 0
    with path.open("rb") as file:
        for digest, offset, size in _heads(path):
            file.seek(offset + HEAD.size)
            if hashlib.sha256(file.read(size)).digest() != digest:
                break
            end = offset + HEAD.size + size
    return end


def write_whole(descriptor: int, data: bytes | memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def drop_cached(descriptor: int) -> None:
    """So that what is read next comes from the disk."""
    with suppress(OSError):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
