"""A peer: our server with one file for each image, and fsync. Catalog and transport are ours."""

import hashlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from bench.peers.composed import compose
from conexiones.adapters.files import FileBlobs
from conexiones.ports import Content, Staged

T = TypeVar("T")


class OneFile:
    """A Staged of a small image: in memory until it is written, whole, to its file."""

    def __init__(self, blobs: "OneFileBlobs") -> None:
        self._blobs = blobs
        self._data = b""

    @property
    def size(self) -> int:
        return len(self._data)

    async def write(self, data: bytes | memoryview) -> None:
        self._data += data

    async def commit(self) -> int:
        raise NotImplementedError("one that is resumed is not staged here")

    async def inspect(self, judge: Callable[[Content], T]) -> T:
        return judge(self._data)

    async def publish(self) -> bytes:
        digest = hashlib.sha256(self._data).digest()
        await self._blobs.run(_write, self._blobs.path(digest), self._data)
        return digest

    async def publish_to(self, add: Callable[[bytes], Awaitable[T]]) -> T:
        return await add(await self.publish())

    async def settle(self) -> None:
        pass

    async def discard(self) -> None:
        pass

    async def release(self) -> None:
        pass


class OneFileBlobs(FileBlobs):
    """Blobs in files named by their digest."""

    def stage(self) -> Staged:
        return OneFile(self)


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


app = compose(FileBlobs=OneFileBlobs)
