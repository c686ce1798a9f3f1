"""Reads and hashes the images in a server's data folder, after the server has ended."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from bench.measures import Wrong
from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog


def digests(data_dir: Path) -> Counter[bytes]:
    """The SHA-256 of the stored bytes of each image that the catalog lists. Raises Wrong if they are
    damaged."""
    return asyncio.run(_digests(data_dir))


async def _digests(data_dir: Path) -> Counter[bytes]:
    catalog = SqliteCatalog(data_dir / "catalog.sqlite3")
    store = LocalStore(data_dir, catalog)
    found: Counter[bytes] = Counter()
    await catalog.open()
    try:
        await store.open()
        before: str | None = None
        while page := await catalog.list_images(limit=1000, before=before, user=None, start=None, end=None):
            for image in page:
                sha = hashlib.sha256()
                async for piece in store.blobs.read(image.digest):
                    sha.update(piece)
                if sha.digest() != image.digest:
                    raise Wrong(f"image {image.id} is not what was stored")
                found[image.digest] += 1
            before = page[-1].id
    finally:
        await store.close()
        await catalog.close()
    return found


def files(folder: Path) -> Counter[bytes]:
    """The SHA-256 of each file."""
    return Counter(hashlib.sha256(path.read_bytes()).digest() for path in folder.iterdir())


def pieces(path: Path, size: int) -> Counter[bytes]:
    """The SHA-256 of each piece of `size` bytes of a file. Raises Wrong if the last piece is shorter."""
    found: Counter[bytes] = Counter()
    with path.open("rb") as file:
        while piece := file.read(size):
            if len(piece) < size:
                raise Wrong(f"{len(piece)} bytes are left over")
            found[hashlib.sha256(piece).digest()] += 1
    return found


def compare(found: Counter[bytes], expected: Iterable[bytes]) -> None:
    """Raises Wrong unless exactly the expected images are stored, each as often as it was sent."""
    wanted = Counter(expected)
    if found != wanted:
        raise Wrong(f"{found.total()} images are stored, of {wanted.total()} that were sent")
