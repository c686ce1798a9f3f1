"""A limit: our server with the least that is durable. A thread appends to one file whatever waits, and one
fdatasync is for all of it. There is no catalog and no index: nothing is ever found again."""

import asyncio
import os
from queue import SimpleQueue
from threading import Thread

from bench.peers.composed import compose
from bench.peers.parts import APPENDED, Forgetful, Whole
from conexiones.adapters.blobs.local.store import FileBlobs
from conexiones.ports.catalog import Catalog
from conexiones.ports.staging import Staged

GROUP = 1000
"""Blobs that are written with one call, at most."""

Item = tuple[bytes, asyncio.Future[None]]


class AppendOnly(FileBlobs):
    """Blobs one behind the other."""

    async def open(self, catalog: Catalog) -> None:
        await super().open(catalog)
        self._loop = asyncio.get_running_loop()
        self._waiting: SimpleQueue[Item] = SimpleQueue()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(self.incoming.parent / APPENDED, flags, 0o600)
        Thread(target=self._write, daemon=True).start()

    def stage(self) -> Staged:
        return Whole(self)

    async def keep(self, digest: bytes, data: bytes) -> None:
        done = self._loop.create_future()
        self._waiting.put((data, done))
        await done

    def _write(self) -> None:
        while True:
            group = [self._waiting.get()]
            while len(group) < GROUP and not self._waiting.empty():
                group.append(self._waiting.get())
            os.writev(self._file, [data for data, _ in group])
            os.fdatasync(self._file)
            self._loop.call_soon_threadsafe(_tell, group)


def _tell(group: list[Item]) -> None:
    for _, done in group:
        if not done.done():
            done.set_result(None)


app = compose(FileBlobs=AppendOnly, SqliteCatalog=Forgetful)
