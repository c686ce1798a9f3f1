"""A store as the suites want it, with what a sweep does when a folder is opened."""

from pathlib import Path

from conexiones.adapters.blobs.s3.patience import Graces, Patience
from conexiones.adapters.blobs.s3.place import BlobPlace
from conexiones.adapters.blobs.s3.store import S3Store
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from tests.support.waiting import DEADLINE

MIB = 1 << 20

SWEEPABLE = Graces(dead=0, moved=0, late=0, pack=0, part=0)
"""Nothing stays that nothing refers to. Whoever publishes meanwhile may be refused."""


class RestartedS3Store(S3Store):
    """Objects are small, so that few bytes need several. It waits longer than a server would: the machine may
    be busy."""

    def __init__(
        self, place: BlobPlace, catalog: PostgresCatalog, *, folder: Path, graces: Graces | None = None
    ) -> None:
        super().__init__(
            place,
            catalog,
            folder=folder,
            part=2 * MIB,
            graces=graces or Graces(dead=0),
            patience=Patience(attempt=DEADLINE, request=DEADLINE, connect=DEADLINE),
        )

    async def open(self) -> None:
        await super().open()
        await self.sweep()
