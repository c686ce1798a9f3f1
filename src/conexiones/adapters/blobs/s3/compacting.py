"""Packs that are mostly holes: what is needed of them is put into new ones."""

import hashlib
import logging
from collections.abc import Collection, Sequence

from conexiones.adapters.blobs.s3 import sweep_rows
from conexiones.adapters.blobs.s3.backend import Backend
from conexiones.adapters.blobs.s3.objects import ObjectGone, born
from conexiones.adapters.blobs.s3.packs import PACK
from conexiones.adapters.blobs.s3.sweep_rows import Kept
from conexiones.adapters.catalog.postgres.transaction import Transaction
from conexiones.errors import BlobCorrupt, StorageUnavailable

log = logging.getLogger(__name__)


async def compact(backend: Backend, packs: dict[str, int]) -> None:
    """Moves what is needed of packs, of each so many bytes, into new ones. The old objects are looked at
    later, when nobody reads them any more."""
    group: list[str] = []
    size = 0
    for name, needed in packs.items():
        group.append(name)
        size += needed
        if size >= PACK:
            await _move(backend, group)
            group, size = [], 0
    if group:
        await _move(backend, group)


async def _move(backend: Backend, names: Collection[str]) -> None:
    kept = await backend.catalog.read(sweep_rows.kept_in, names)
    sound: list[Kept] = []
    found: list[bytes] = []
    for one in kept:
        if (data := await _bytes_of(backend, one)) is not None:
            sound.append(one)
            found.append(data)
    if not found:
        return
    name = backend.objects.name("packs")
    await backend.objects.put(name, b"".join(found))
    await backend.catalog.write((), _moved, backend, sound, name)


async def _bytes_of(backend: Backend, kept: Kept) -> bytes | None:
    """The bytes of a place; None where they are damaged, and so stay where they are."""
    place = kept.place
    try:
        data = await backend.objects.get(place.object, place.start, place.size)
    except (ObjectGone, BlobCorrupt):
        data = b""
    if place.size != kept.total or hashlib.sha256(data).digest() != kept.digest:
        log.error("%s in %s is damaged: it is not compacted", kept.digest.hex(), place.object)
        return None
    return data


async def _moved(transaction: Transaction, backend: Backend, kept: Sequence[Kept], name: str) -> None:
    if born(name) + backend.graces.pack < await transaction.time():
        raise StorageUnavailable
    starts = []
    start = 0
    for one in kept:
        starts.append(start)
        start += one.place.size
    await sweep_rows.move(transaction, kept, name, starts)
