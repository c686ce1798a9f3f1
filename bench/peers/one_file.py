"""A peer: our server with one file for each image, and fsync. Catalog and transport are ours."""

import os
from pathlib import Path

from bench.peers.composed import compose
from bench.peers.parts import Whole
from conexiones.adapters.blobs.local.store import FileBlobs
from conexiones.ports.staging import Staged


class OneFileBlobs(FileBlobs):
    """Blobs in files named by their digest."""

    def stage(self) -> Staged:
        return Whole(self)

    async def keep(self, digest: bytes, data: bytes) -> None:
        await self.run(_write, self.path(digest), data)


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


app = compose(FileBlobs=OneFileBlobs)
