"""A limit: our server with the least work that is durable.

A thread appends all waiting images to one file, with one fdatasync for all of them. There is no catalog and
no index, so no image can be found again.
"""

import asyncio
import os
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from bench.peers.composed import compose
from bench.peers.parts import APPENDED, Forgetful, OneShot, Whole
from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.ports.catalog import Catalog

GROUP = 1000
"""The largest number of blobs that are written with one system call."""

Item = tuple[bytes, asyncio.Future[None]]


class AppendOnly(LocalStore):
    """Blobs that are appended to one file."""

    def __init__(self, root: Path, catalog: Catalog, **options: Any) -> None:
        super().__init__(root, catalog, **options)
        self.staging = OneShot(lambda: Whole(self))

    async def open(self) -> None:
        await super().open()
        self._loop = asyncio.get_running_loop()
        self._waiting: SimpleQueue[Item] = SimpleQueue()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(self._folder.root / APPENDED, flags, 0o600)
        Thread(target=self._write, daemon=True).start()

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


app = compose(LocalStore=AppendOnly, SqliteCatalog=Forgetful)
