"""The store of blobs in an object store: what is opened and closed."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

from conexiones.adapters.blobs.s3 import rows
from conexiones.adapters.blobs.s3.backend import PART, Backend
from conexiones.adapters.blobs.s3.blobs import S3Blobs
from conexiones.adapters.blobs.s3.local_files import LIMIT, LocalFiles
from conexiones.adapters.blobs.s3.mark import is_marked
from conexiones.adapters.blobs.s3.memory import MEMORY, UPLOADS, Memory
from conexiones.adapters.blobs.s3.objects import ObjectGone, Objects, mark_of, said
from conexiones.adapters.blobs.s3.packs import Packs
from conexiones.adapters.blobs.s3.patience import Graces, Patience
from conexiones.adapters.blobs.s3.place import BlobPlace
from conexiones.adapters.blobs.s3.staging import S3Staging
from conexiones.adapters.blobs.s3.sweeping import Sweeper
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.adapters.catalog.postgres.transaction import time_of
from conexiones.adapters.system.memory_cache import MemoryCache
from conexiones.errors import BlobCorrupt, StorageUnavailable
from conexiones.metrics import Metrics
from conexiones.ports.blobs import Blobs
from conexiones.ports.staging import Staging
from conexiones.waits import observe_memory, observe_places, waits
from conexiones.whole import to_end

T = TypeVar("T")

PIECE = 256 << 10
"""Bytes of the largest piece that is given, by default."""

START_SECONDS = 30.0
"""How long a start waits for a store that answers, but does not give its objects yet, as it starts itself."""


class S3Store:
    """A Staging and a Blobs at a place, whose rows are in a catalog, which is opened before and closed after.

    Images on their way in have at most `memory` bytes, while there are no more than `uploads` at a time.
    Blobs are read in pieces of at most `piece` bytes, and small ones are kept in `cache`. Copies for decoders
    are in `folder`, with at most `local_bytes` in all; None is a folder for temporary files.

    `sweep` removes what nothing refers to: call it at intervals, on every server.

    After `close`, and before `open`, whatever needs the store raises StorageUnavailable.
    """

    def __init__(
        self,
        place: BlobPlace,
        catalog: PostgresCatalog,
        *,
        memory: int = MEMORY,
        uploads: int = UPLOADS,
        piece: int = PIECE,
        part: int = PART,
        cache: MemoryCache[bytes] | None = None,
        folder: Path | None = None,
        local_bytes: int = LIMIT,
        patience: Patience | None = None,
        graces: Graces | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """ValueError, whose sentence says what is wrong, if the place cannot be one."""
        metrics = metrics or Metrics()
        self._place = place
        self._catalog = catalog
        patience = patience or Patience()
        objects = Objects(place, patience, metrics)
        self._backend = Backend(
            objects=objects,
            catalog=catalog,
            packs=Packs(objects, metrics, patience=patience),
            memory=Memory(memory=memory, uploads=uploads),
            cache=cache or MemoryCache(0),
            graces=graces or Graces(),
            piece=piece,
            part=part,
        )
        observe_places(metrics, "object_requests", objects.turns)
        observe_memory(metrics, "uploads", self._backend.memory)
        self._backend.memory.waited = waits(metrics, "uploads").record
        self._files = LocalFiles(folder, limit=local_bytes, metrics=metrics)
        self._sweeper = Sweeper(self._backend, metrics)
        self.staging: Staging = S3Staging(self._backend)
        self.blobs: Blobs = S3Blobs(self._backend, self._files)

    async def open(self) -> None:
        """ValueError, whose one line says what to do, if the bucket cannot be reached or used, or has the
        objects of another database: to this one they would be garbage. Raises StorageUnavailable if the
        catalog does not answer, and OSError of the folder."""
        objects = self._backend.objects
        objects.learn_time(await self._catalog.read(time_of))
        await asyncio.to_thread(self._files.open)
        self._backend.open()
        try:
            await self._first_request()
            await self._check_house()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Waits for what threads do. What was not settled is left to the sweeper."""
        await to_end(asyncio.ensure_future(self._close()))

    async def sweep(self) -> bool:
        """Removes what nothing refers to; False if another server does. Raises StorageUnavailable: what is
        left is for the next time."""
        return await self._sweeper.sweep()

    async def sizes(self) -> dict[str, int]:
        """Bytes by what they are: "blobs", and "uploads", which are still coming in; and those of the
        "catalog" in the database. The more there is, the longer it takes. Raises StorageUnavailable."""
        return await self._catalog.read(rows.sizes)

    async def _first_request(self) -> None:
        objects = self._backend.objects
        try:
            await objects.size(objects.name("packs"))  # which is not there
            async with aclosing(objects.listed("packs")) as names:
                await anext(names, None)
        except (StorageUnavailable, ObjectGone, BlobCorrupt) as error:
            raise ValueError(f"{self._place} cannot be used: {said(error)}.") from error

    async def _check_house(self) -> None:
        objects = self._backend.objects
        identity = await self._catalog.write((), rows.identity, secrets.randbelow((1 << 31) - 1) + 1)
        # Mostly nothing more has to be known. Of tables from which much was deleted, the question takes long.
        if await self._asked(objects.mark) == mark_of(identity):
            return
        # Asked first: what another server stores from now on has its mark, and objects, before it has rows.
        named = await self._catalog.read(rows.names_objects)

        async def compare() -> None:
            if not await is_marked(objects, self._place, identity, named=named):
                await objects.put_mark(identity)

        await self._asked(compare)

    async def _asked(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What comes of requests to the object store, which are tried for START_SECONDS. ValueError as in
        `open`."""
        loop = asyncio.get_running_loop()
        end = loop.time() + START_SECONDS
        while True:
            try:
                return await ask()
            except (StorageUnavailable, ObjectGone, BlobCorrupt) as error:
                if loop.time() >= end or not isinstance(error, StorageUnavailable):
                    raise ValueError(f"{self._place} cannot be used: {said(error)}.") from error
            await asyncio.sleep(1)

    async def _close(self) -> None:
        self._backend.cache.clear()
        await self._backend.close()
        await asyncio.to_thread(self._files.close)
