"""A peer: our server with one file and one fsync for each image. Catalog and transport are ours."""

import os
from pathlib import Path
from typing import Any

from bench.peers.composed import compose
from bench.peers.parts import OneShot, Whole
from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.ports.catalog import Catalog


class OneFileStore(LocalStore):
    """Blobs in files named by their digest."""

    def __init__(self, root: Path, catalog: Catalog, **options: Any) -> None:
        super().__init__(root, catalog, **options)
        self.staging = OneShot(lambda: Whole(self))

    async def keep(self, digest: bytes, data: bytes) -> None:
        await self._folder.run(_write, self._folder.path(digest), data)


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


app = compose(LocalStore=OneFileStore)
