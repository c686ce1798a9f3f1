"""A limit: our server without a store. It validates, hashes and acknowledges images, and keeps nothing."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar, overload

from bench.peers.composed import compose
from bench.peers.parts import Forgetful, OneShot
from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.ports.catalog import Catalog
from conexiones.ports.staging import Content

T = TypeVar("T")

HEAD = 1 << 20
"""Bytes that are kept to be validated: the whole of a small image, or the beginning of a large one."""

BATCH = 1 << 20
"""Bytes that are hashed at a time, in a thread."""


class Discarded:
    """A Staged that keeps only the hash and the first bytes."""

    def __init__(self) -> None:
        self.size = 0
        self._head = b""
        self._batch: list[bytes | memoryview] = []
        self._batched = 0
        self._sha = hashlib.sha256()
        self._hashing: asyncio.Future[None] | None = None

    async def write(self, data: bytes | memoryview) -> None:
        self.size += len(data)
        if len(self._head) < HEAD:
            self._head += data[: HEAD - len(self._head)]
        self._batch.append(data)
        self._batched += len(data)
        if self._batched >= BATCH:
            await self._hashed()
            pieces, self._batch, self._batched = self._batch, [], 0
            self._hashing = asyncio.ensure_future(asyncio.to_thread(self._hash, pieces))

    def _hash(self, pieces: list[bytes | memoryview]) -> None:
        for piece in pieces:
            self._sha.update(piece)

    async def _hashed(self) -> None:
        if self._hashing:
            await self._hashing

    async def inspect(self, judge: Callable[[Content], T], *, slow: bool = False) -> T:
        return judge(_Head(self._head, self.size))

    async def publish(self, add: Callable[[bytes], Awaitable[T]]) -> T:
        await self._hashed()
        self._hash(self._batch)
        return await add(self._sha.digest())

    async def settle(self) -> None:
        pass

    async def discard(self) -> None:
        pass


class _Head:
    """A Content of which only the first bytes exist."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data = data
        self._size = size

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, key: int, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> bytes: ...
    def __getitem__(self, key: int | slice, /) -> int | bytes:
        return self._data[key]


class Nothing(LocalStore):
    """A store that keeps no blobs."""

    def __init__(self, root: Path, catalog: Catalog, **options: Any) -> None:
        super().__init__(root, catalog, **options)
        self.staging = OneShot(Discarded)


app = compose(LocalStore=Nothing, SqliteCatalog=Forgetful)
