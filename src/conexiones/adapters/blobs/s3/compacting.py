"""Packs that are mostly holes: what is needed of them is put into new ones."""

import hashlib
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence

from conexiones.adapters.blobs.s3 import sweep_rows
from conexiones.adapters.blobs.s3.backend import Backend
from conexiones.adapters.blobs.s3.moving import runs
from conexiones.adapters.blobs.s3.objects import ObjectGone, born
from conexiones.adapters.blobs.s3.packs import PACK
from conexiones.adapters.blobs.s3.sweep_rows import Kept
from conexiones.adapters.catalog.postgres.transaction import Transaction
from conexiones.errors import BlobCorrupt, StorageUnavailable

log = logging.getLogger(__name__)


async def compact(
    backend: Backend, packs: dict[str, int], go_on: Callable[[], Awaitable[object | None]]
) -> int:
    """Moves what is needed of packs, of each so many bytes, into new ones, and gives of how many it has. The
    old objects are looked at later, when nobody reads them any more. `go_on` says whether this server still
    sweeps: None if not."""
    groups: list[list[str]] = [[]]
    size = 0
    for name, needed in packs.items():
        if size >= PACK:
            groups.append([])
            size = 0
        groups[-1].append(name)
        size += needed
    done = 0
    for group in filter(None, groups):
        if await go_on() is None:
            break
        await _move(backend, group)
        done += len(group)
    return done


async def _move(backend: Backend, names: Collection[str]) -> None:
    kept = {one.digest: one for one in await backend.catalog.read(sweep_rows.kept_in, names)}
    sound: list[Kept] = []
    found: list[bytes] = []
    for run in runs([(one.digest, one.place) for one in kept.values()]):
        together = [kept[digest] for digest, _ in run]
        for one, data in zip(together, await _bytes_of(backend, together), strict=True):
            if data is not None:
                sound.append(one)
                found.append(data)
    if not found:
        return
    name = backend.objects.name("packs")
    await backend.objects.put(name, b"".join(found))
    await backend.catalog.write((), _moved, backend, sound, name)


async def _bytes_of(backend: Backend, together: Sequence[Kept]) -> list[bytes | None]:
    """The bytes of places that lie together in an object, which are read together; None for those that are
    damaged, and so stay where they are."""
    start = together[0].place.start
    size = max(one.place.start + one.place.size for one in together) - start
    try:
        data = await backend.objects.get(together[0].place.object, start, size)
    except (ObjectGone, BlobCorrupt):
        if len(together) > 1:  # the others may be whole
            return [found for one in together for found in await _bytes_of(backend, [one])]
        data = b""
    return [_sound(one, data[one.place.start - start :][: one.place.size]) for one in together]


def _sound(kept: Kept, data: bytes) -> bytes | None:
    if kept.place.size == kept.total and hashlib.sha256(data).digest() == kept.digest:
        return data
    log.error("%s in %s is damaged: it is not compacted", kept.digest.hex(), kept.place.object)
    return None


async def _moved(transaction: Transaction, backend: Backend, kept: Sequence[Kept], name: str) -> None:
    if born(name) + backend.graces.pack < await transaction.time():
        raise StorageUnavailable
    starts = []
    start = 0
    for one in kept:
        starts.append(start)
        start += one.place.size
    await sweep_rows.move(transaction, kept, name, starts)
