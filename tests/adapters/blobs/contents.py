"""What the tests of blobs share: a store as they see it, contents, and the steps of an upload."""

import hashlib
import random
from typing import Protocol, TypeVar

from conexiones.errors import BlobCorrupt
from conexiones.ports.blobs import Blobs
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import ImageRecord
from conexiones.ports.staging import Content, Staged, Staging

MIB = 1 << 20


class Store(Protocol):
    """A Staging and a Blobs, to be opened and closed."""

    staging: Staging
    blobs: Blobs

    async def open(self) -> None: ...

    async def close(self) -> None: ...


def content(size: int, seed: object = 0) -> bytes:
    return random.Random(f"{size} {seed}").randbytes(size)


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def everything(content: Content) -> bytes:
    """A judge for `Staged.inspect`."""
    return content[:]


async def tell_nobody(digest: bytes) -> bytes:
    """An `add` for `Staged.publish` that does not add an image: the blob is published, and the catalog has
    not been told yet."""
    return digest


async def counted(size: int) -> int:
    """An `advance` for `ResumableStaged.commit` that counts nothing: there may be no row of the upload."""
    return size


AnyStaged = TypeVar("AnyStaged", bound=Staged)


async def fill(staged: AnyStaged, data: bytes, fragment: int = 100_000) -> AnyStaged:
    for start in range(0, len(data), fragment):
        await staged.write(data[start : start + fragment])
    return staged


async def stored(store: Store, catalog: Catalog, record: ImageRecord, data: bytes) -> bytes:
    staged = await fill(store.staging.stage(), data)
    digest = await staged.publish(tell_nobody)
    await catalog.add_image(record)
    await staged.settle()
    return digest


async def whole(store: Store, digest: bytes, offset: int = 0) -> bytes:
    pieces = [piece async for piece in store.blobs.read(digest, offset)]
    assert all(0 < len(piece) <= MIB for piece in pieces)
    return b"".join(pieces)


async def gone(store: Store, digest: bytes) -> bool:
    try:
        await whole(store, digest)
    except BlobCorrupt:
        return True
    return False
