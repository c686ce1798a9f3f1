"""Reads all that servers keep in PostgreSQL and an object store, and says what is damaged, missing or left
over. It changes nothing, and the servers may run meanwhile.

What looks wrong may be what a server is just deleting or moving: so it is looked up again before it is
reported. What comes after the beginning is not looked at, so that there is an end.
"""

from collections.abc import AsyncIterator, Sequence
from functools import partial

from conexiones.adapters.blobs.s3 import rows as blob_rows
from conexiones.adapters.blobs.s3 import verify_rows
from conexiones.adapters.blobs.s3.packs import PACK
from conexiones.adapters.blobs.s3.verify_rows import At, Content, Row
from conexiones.adapters.blobs.s3.verifying import Fault, Read, Verifying, all_of
from conexiones.adapters.catalog.postgres.looking import Looking, Unreadable
from conexiones.adapters.catalog.postgres.transaction import time_of
from conexiones.domain.verifying import ATTEMPTS
from conexiones.upkeep.findings import Finding, Report, Verified
from conexiones.upkeep.house_shared import SharedPlaces, as_problem
from conexiones.upkeep.pace import Pace
from conexiones.upkeep.steps import Progress, silent

_TOGETHER = 64 << 20
"""Bytes of small contents that are read before the next ones are looked up."""

_LARGE_AT_ONCE = 4

_BEHIND_ALL = "\U0010ffff"
"""Sorts behind every id."""


async def verify_shared(
    places: SharedPlaces, report: Report, *, rate: int | None = None, progress: Progress = silent
) -> Verified:
    """Verifies a database and a bucket, at most `rate` bytes a second. Raises Problem, if that cannot be
    done."""
    verified = Verified()

    def found(finding: Finding) -> None:
        verified.count(finding)
        report(finding)

    with as_problem():
        catalog = Looking(places.database)
        verification = _Verification(places, catalog, found, verified, Pace(rate), progress)
        try:
            await verification.run()
        finally:
            verification.close()
    return verified


class _Verification:
    def __init__(
        self,
        places: SharedPlaces,
        catalog: Looking,
        report: Report,
        verified: Verified,
        pace: Pace,
        progress: Progress,
    ) -> None:
        """ValueError if they cannot be meant."""
        self._catalog = catalog
        self._blobs = Verifying(places.place(), catalog, self._read_bytes)
        self._report = report
        self._verified = verified
        self._pace = pace
        self._progress = progress
        self._done = self._total = 0  # bytes that were read, and of all images
        self._last = _BEHIND_ALL  # the greatest id of an image at the beginning

    def close(self) -> None:
        self._blobs.close()
        self._catalog.close()

    async def run(self) -> None:
        await self._catalog.open()
        now = await self._catalog.ask(time_of)
        await self._blobs.open(now)
        for check in (
            self._look,
            self._check_rows,
            self._check_contents,
            self._check_uploads,
            partial(self._look_for_left_over, now),
        ):
            try:
                await check()
            except Unreadable as error:
                says = f"The database cannot read a part of it ({error}), so not all was verified:"
                self._report(Finding("damaged", "catalog", f"{says} restore a backup."))

    async def _look(self) -> None:
        self._last, self._total = await self._catalog.ask(verify_rows.totals)

    async def _look_for_left_over(self, now: float) -> None:
        async for name, size in self._blobs.left_over(now):
            says = f"No row of the database names it ({size} bytes)."
            self._report(Finding("left over", self._blobs.where(name), says))

    async def _read_bytes(self, size: int) -> None:
        await self._pace.wait(size)
        self._done += size
        self._progress("images", min(self._done, self._total), self._total)

    async def _check_rows(self) -> None:
        """The rows of images, and whether others say where their bytes are."""
        after = ""
        while found := await self._catalog.ask(verify_rows.rows_after, after, self._last):
            after = found[-1].id
            self._verified.images += len(found)
            for row in found:
                if _fault_of(row) and (again := await self._catalog.ask(verify_rows.row_of, row.id)):
                    self._report_image(again.id, _fault_of(again))

    async def _check_contents(self) -> None:
        """The bytes of images, each content once."""
        at: At | None = At()
        while at is not None:
            contents, at = await self._catalog.ask(verify_rows.contents_after, at)
            contents = [content for content in contents if content.first <= self._last]
            small: list[Content] = []
            large: list[Content] = []
            for content in contents:
                if content.stored is None or content.stored > PACK:
                    large.append(content)
                    continue
                small.append(content)
                if sum(one.stored or 0 for one in small) >= _TOGETHER:
                    await self._check_small(small)
                    small = []
            await self._check_small(small)
            for some in (large[at : at + _LARGE_AT_ONCE] for at in range(0, len(large), _LARGE_AT_ONCE)):
                await self._check_large(some)

    async def _check_small(self, contents: Sequence[Content]) -> None:
        places = await self._catalog.ask(blob_rows.places_of, [content.digest for content in contents])
        for content, read in zip(contents, await self._blobs.small(contents, places), strict=True):
            await self._settle(content, read)

    async def _check_large(self, contents: Sequence[Content]) -> None:
        async def read(content: Content) -> Read:
            places = await self._catalog.ask(blob_rows.places_of, [content.digest])
            return await self._blobs.one(content, places.get(content.digest, []))

        for content, found in zip(contents, await all_of(map(read, contents)), strict=True):
            await self._settle(content, found)

    async def _settle(self, content: Content, read: Read) -> None:
        """Reports what is wrong with a content, if it still is."""
        self._verified.bytes += read.size
        for _ in range(ATTEMPTS - 1):
            if read.fault is None:
                break
            again = await self._catalog.ask(verify_rows.content_of, content.digest)
            if again is None:
                return  # it was deleted meanwhile
            content, places = again
            read = await self._blobs.one(content, places)
            self._verified.bytes += read.size
        if read.fault is not None:
            async for id, _ in self._images_of(content.digest):
                self._report_image(id, read.fault)
        elif not content.least == read.size == content.most:
            async for id, size in self._images_of(content.digest, but=read.size):
                says = f"Its row says that it has {size} bytes, and its content has {read.size}."
                self._report_image(id, Fault("damaged", says))

    async def _images_of(self, digest: bytes, but: int | None = None) -> AsyncIterator[tuple[str, int]]:
        after = ""
        while found := await self._catalog.ask(verify_rows.images_of, digest, after, but):
            after = found[-1][0]
            for one in found:
                yield one

    def _report_image(self, id: str, fault: Fault | None) -> None:
        if fault is not None:
            self._report(Finding(fault.kind, f"image {id}", fault.says))

    async def _check_uploads(self) -> None:
        """The acknowledged bytes of uploads under way."""
        after = ""
        while ids := await self._catalog.ask(verify_rows.uploads_after, after):
            after = ids[-1]
            for id in ids:
                if (fault := await self._fault_of_upload(id)) is not None:
                    self._report(Finding(fault.kind, f"upload {id}", fault.says))

    async def _fault_of_upload(self, id: str) -> Fault | None:
        """What is wrong with an upload, and still is when it is looked at again, unless it has ended."""
        fault = None
        for _ in range(ATTEMPTS):
            upload = await self._catalog.ask(verify_rows.upload_of, id)
            if upload is None:
                return None
            fault = await self._blobs.upload(*upload)
            if fault is None:
                return None
        return fault if await self._catalog.ask(verify_rows.upload_of, id) else None


def _fault_of(row: Row) -> Fault | None:
    if not row.sound:
        return Fault("damaged", "Its row is not what was written: restore a backup, or delete the image.")
    if not row.placed:
        digest = row.digest.hex()
        return Fault(
            "missing", f"Its bytes, of the digest {digest}, are nowhere: no row says in which object."
        )
    return None
