"""A store as the suites want it, which sweeps when it is opened; and what is in its bucket."""

from pathlib import Path

import obstore

from conexiones.adapters.blobs.s3.objects import MARK
from conexiones.adapters.blobs.s3.patience import Graces, Patience
from conexiones.adapters.blobs.s3.place import BlobPlace
from conexiones.adapters.blobs.s3.store import S3Store
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.ports.records import ImageRecord
from tests.adapters.blobs.contents import fill
from tests.support.waiting import DEADLINE

MIB = 1 << 20

LONG = 3600.0

AT_ONCE = Graces(dead=0, moved=0, pack=LONG, part=LONG, late=-2 * LONG)
"""Nothing stays that nothing refers to: for stores to which nobody writes while they are swept."""

PATIENT = Patience(attempt=DEADLINE, request=DEADLINE, connect=DEADLINE)


class RestartedS3Store(S3Store):
    """Objects are small, so that few bytes need several. It waits longer than a server would: the machine may
    be busy."""

    def __init__(
        self,
        place: BlobPlace,
        catalog: PostgresCatalog,
        *,
        folder: Path,
        graces: Graces | None = None,
        patience: Patience = PATIENT,
    ) -> None:
        graces = graces or Graces(dead=0)
        super().__init__(place, catalog, folder=folder, part=2 * MIB, graces=graces, patience=patience)

    async def open(self) -> None:
        await super().open()
        await self.sweep()

    def busy(self) -> tuple[int, int]:
        """Requests that are under way, and bytes of memory that are held."""
        return self._backend.objects.turns.held, self._backend.memory.held


async def add(store: RestartedS3Store, catalog: PostgresCatalog, record: ImageRecord, data: bytes) -> None:
    """As the server does it: in one step with the row."""
    staged = await fill(store.staging.stage(), data)
    await staged.publish(lambda digest: catalog.add_image(record))
    await staged.settle()


async def objects_at(place: BlobPlace) -> list[str]:
    """The names of the objects at a place, without the one that says whose they are."""
    metas = await obstore.list(place.connect(PATIENT)).collect_async()
    return sorted(str(meta["path"]) for meta in metas if meta["path"] != MARK)


async def spoil(place: BlobPlace, name: str, at: int) -> None:
    """Changes a byte of an object."""
    bucket = place.connect(PATIENT)
    data = bytearray(bytes(await (await obstore.get_async(bucket, name)).bytes_async()))
    data[at] ^= 1
    await obstore.put_async(bucket, name, bytes(data), use_multipart=False)
