"""The places of open uploads: each client has a share, and uploads that lie idle give theirs to others."""

from collections.abc import Callable
from dataclasses import replace

from conexiones.domain.ids import now
from conexiones.errors import TooManyUploads, UploadBytesExceeded
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import Charge, UploadQuota, UploadRecord, UploadTerms


class Places:
    """Writes of the catalog that need room. Where the quota has none for a client that is due some, other
    uploads are ended first.

    Without a quota only the disk limits uploads. `ended` is called with the ids of the uploads that were
    ended, whose bytes are then of no use.
    """

    def __init__(
        self,
        catalog: Catalog,
        quota: UploadQuota | None,
        terms: UploadTerms,
        ended: Callable[[list[str]], object],
    ) -> None:
        self._catalog = catalog
        self._quota = quota
        self._terms = terms
        self._ended = ended

    async def create(self, upload: UploadRecord, charge: Charge | None) -> UploadRecord:
        """As in the catalog. Raises TooManyUploads, UploadBytesExceeded, QuotaExceeded, TicketUsedUp."""
        catalog, quota = self._catalog, self._quota
        try:
            return await catalog.create_upload(upload, quota=quota, charge=charge)
        except (TooManyUploads, UploadBytesExceeded):
            if not await self._make_room(upload):
                raise
            return await catalog.create_upload(upload, quota=quota, charge=charge)

    async def advance(self, upload_id: str, *, epoch: int, size: int) -> UploadRecord | None:
        """As in the catalog. Raises UploadBytesExceeded."""
        catalog, quota = self._catalog, self._quota
        try:
            return await catalog.advance_upload(upload_id, epoch=epoch, size=size, now=now(), quota=quota)
        except UploadBytesExceeded:
            upload = await catalog.get_upload(upload_id)
            if upload is None or not await self._make_room(replace(upload, committed_size=size)):
                raise
            return await catalog.advance_upload(upload_id, epoch=epoch, size=size, now=now(), quota=quota)

    async def expire(self) -> list[str]:
        """Ends the uploads whose time is over, and gives their ids."""
        return await self._catalog.expire_uploads(self._terms, now=now())

    async def _make_room(self, upload: UploadRecord) -> bool:
        """Whether any upload was ended, so that it is worth trying again."""
        if self._quota is None:
            return False
        ended = await self._catalog.make_room(upload, quota=self._quota, terms=self._terms, now=now())
        self._ended(ended)
        return bool(ended)
