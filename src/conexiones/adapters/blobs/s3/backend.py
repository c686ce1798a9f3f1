"""What the parts of the store share."""

import asyncio
import hashlib
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from conexiones.adapters.blobs.holds import Holds
from conexiones.adapters.blobs.s3.memory import Memory
from conexiones.adapters.blobs.s3.objects import Objects
from conexiones.adapters.blobs.s3.packs import Packs
from conexiones.adapters.blobs.s3.patience import Graces
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.adapters.system.fair_threads import FairThreads
from conexiones.adapters.system.memory_cache import MemoryCache
from conexiones.adapters.system.threads import finish
from conexiones.errors import StorageUnavailable
from conexiones.shares import acting_for

P = ParamSpec("P")
T = TypeVar("T")

PART = 8 << 20
"""Bytes of the largest object that is put at once, by default."""

INLINE = 128 << 10
"""Bytes up to which the event loop judges and hashes: handing them to a thread would take longer."""

THREADS = 8
"""Threads that hash, judge, and write local copies."""


@dataclass(slots=True, kw_only=True)
class Backend:
    """Belongs to one event loop. Blobs are given in pieces of at most `piece` bytes, and put in objects of at
    most `part`. `holds` are the uploads that are resumed in this process."""

    objects: Objects
    catalog: PostgresCatalog
    packs: Packs
    memory: Memory
    cache: MemoryCache[bytes]
    graces: Graces
    piece: int
    part: int
    holds: Holds = field(default_factory=Holds)
    merging: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))
    _threads: FairThreads | None = None

    def open(self) -> None:
        self._threads = FairThreads(THREADS, name="s3")
        self.objects.open()

    async def close(self) -> None:
        """Waits for the threads. What is under way at the object store fails."""
        self.objects.close()
        threads, self._threads = self._threads, None
        if threads is not None:
            await asyncio.to_thread(threads.shutdown)

    def check_open(self) -> None:
        """Raises StorageUnavailable."""
        if self._threads is None:
            raise StorageUnavailable

    async def sha256(self, data: bytes) -> bytes:
        sha = hashlib.sha256(data) if len(data) <= INLINE else await self.run(hashlib.sha256, data)
        return sha.digest()

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """What a thread gives. Waits for it even if the caller is cancelled."""
        if self._threads is None:
            raise StorageUnavailable
        job: Future[T] = self._threads.submit(acting_for(), work, *args, **kwargs)
        return await finish(job)
