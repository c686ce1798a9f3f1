"""Reads a whole data folder, and says what is damaged, missing or left over. It changes nothing, and the
server may run meanwhile.

What looks damaged may be what the server is just changing: so it is looked at again before it is reported.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from conexiones.adapters.blobs.local.beside import BlobsBeside
from conexiones.adapters.catalog.sqlite.catalog_file import CatalogFile
from conexiones.adapters.catalog.sqlite.schema import FILE as CATALOG
from conexiones.adapters.catalog.sqlite.wal import look as look_at_wal
from conexiones.adapters.system.sqlite_beside import UNREADABLE, is_damage
from conexiones.domain.verifying import end_of, is_whole
from conexiones.errors import BlobCorrupt
from conexiones.ports.records import ImageRecord
from conexiones.upkeep.findings import Finding, Report, Verified
from conexiones.upkeep.pace import Pace
from conexiones.upkeep.problem import Problem
from conexiones.upkeep.repository import Manifest, Repository, catalog_of_backup, sha256_of
from conexiones.upkeep.steps import Progress, silent
from conexiones.upkeep.stored_rows import damaged_rows
from conexiones.upkeep.verify_files import check_small_files, check_uploads
from conexiones.upkeep.verify_stored import check_large_blobs, check_segments, lost_record

_PAGE = 500


def verify(
    data_dir: Path, report: Report, *, rate: int | None = None, progress: Progress = silent
) -> Verified:
    """Verifies a data folder, at most `rate` bytes a second. Raises Problem, if that cannot be done at all,
    OSError and sqlite3.Error."""
    verified = Verified()

    def found(finding: Finding) -> None:
        verified.count(finding)
        report(finding)

    if not data_dir.is_dir():
        raise Problem(f"There is no folder {data_dir}.")
    path = data_dir / CATALOG
    if not path.exists():
        if not (data_dir / "blobs").exists():
            raise Problem(f"{data_dir} has no catalog: is it a data folder?")
        found(Finding("missing", CATALOG, "Without it no image can be served: restore a backup."))
        return verified
    _check_wal(data_dir, found)
    try:
        catalog = CatalogFile(path)
    except UNREADABLE as error:
        found(_unreadable(error))
        return verified
    except ValueError as error:
        if verified.faults:  # a damaged log may hide the version
            return verified
        raise Problem(str(error)) from None
    try:
        blobs = BlobsBeside(data_dir)
        try:
            _Verification(data_dir, catalog, blobs, found, verified, Pace(rate), progress).run()
        finally:
            blobs.close()
    finally:
        catalog.close()
    return verified


def _unreadable(error: Exception) -> Finding:
    """Raises the error if it says nothing of the catalog."""
    if not is_damage(error):
        raise error
    return Finding("damaged", CATALOG, f"It cannot be read ({error}): restore a backup.")


def _check_wal(data_dir: Path, report: Report) -> None:
    name = f"{CATALOG}-wal"
    verdict, offset = look_at_wal(data_dir / name)
    if verdict == "damaged":
        report(
            Finding(
                "damaged",
                name,
                f"The frame at {offset} is not what was written. What was committed from there on is lost"
                " when the server starts: restore a backup.",
            )
        )
    elif verdict == "torn":
        report(
            Finding(
                "note",
                name,
                f"The last frame, at {offset}, is not whole: it is of a commit that was cut off, unless it"
                " was damaged since.",
            )
        )


class _Verification:
    """Blocks the event loop, which it has for itself."""

    def __init__(
        self,
        data_dir: Path,
        catalog: CatalogFile,
        blobs: BlobsBeside,
        report: Report,
        verified: Verified,
        pace: Pace,
        progress: Progress,
    ) -> None:
        self._data_dir = data_dir
        self._catalog = catalog
        self._blobs = blobs
        self._report = report
        self._verified = verified
        self._pace = pace
        self._progress = progress
        self._images = _Images(catalog)

    def run(self) -> None:
        for check in (
            self._check_tables,
            lambda: asyncio.run(self._check_images()),
            lambda: check_large_blobs(self._data_dir, self._catalog.has_digest, self._report),
            lambda: check_segments(self._data_dir, self._catalog.has_digest, self._report),
            lambda: check_uploads(self._data_dir, self._catalog, self._report, self._pace.take),
            lambda: check_small_files(self._data_dir, self._catalog.identity, self._report, self._pace.take),
        ):
            try:
                check()
            except UNREADABLE as error:
                self._report(_unreadable(error))

    def _check_tables(self) -> None:
        for problem in self._catalog.problems():
            self._report(Finding("damaged", CATALOG, f"{problem}: restore a backup."))

    async def _check_images(self) -> None:
        _, _, total = self._catalog.totals()
        seen: dict[bytes, bool] = {}
        before = None
        while images := self._catalog.images(before, _PAGE):
            for image, intact in images:
                if not intact:
                    says = "Its row is not what was written: restore a backup, or delete the image."
                    self._report(Finding("damaged", f"image {image.id}", f"{CATALOG}: {says}"))
                    continue
                if image.digest in seen:
                    whole: bool | None = seen[image.digest]
                else:
                    whole = await is_whole(image, self._images, _Checked(self._blobs), self._read)
                    if len(seen) < _SEEN:
                        seen[image.digest] = whole is not False
                self._verified.images += 1
                if whole is False:
                    self._report(self._fault(image))
                self._progress("images", self._verified.bytes, total)
            if (before := end_of(images, before)) is None:
                break

    async def _read(self, size: int) -> None:
        self._verified.bytes += size
        self._pace.take(size)
        await asyncio.sleep(0)  # for Ctrl-C

    def _fault(self, image: ImageRecord) -> Finding:
        what = f"image {image.id}"
        if self._blobs.find(image.digest) or self._blobs.path(image.digest).exists():
            try:
                size = sum(map(len, self._blobs.pieces(image.digest)))
            except BlobCorrupt:
                where = self._blobs.where(image.digest)
                return Finding("damaged", what, f"Its bytes, in {where}, are not those that were stored.")
            return Finding(
                "damaged", what, f"Its row says that it has {image.size} bytes, and its content has {size}."
            )
        if lost := lost_record(self._data_dir, image.digest):
            return Finding(
                "damaged",
                "segments/index.sqlite3",
                f"It has lost {what}, which is in {lost}. Remove the file while the server is stopped: it is"
                " made anew.",
            )
        return Finding("missing", what, f"Its bytes, of the digest {image.digest.hex()}, are nowhere.")


_SEEN = 1_000_000
"""Contents that are remembered, so that those that several images share are read once."""


class _Images:
    """A KnownContents."""

    def __init__(self, catalog: CatalogFile) -> None:
        self._catalog = catalog

    async def has_digest(self, digest: bytes) -> bool:
        return self._catalog.has_digest(digest)


class _Checked:
    """A CheckedBlobs."""

    def __init__(self, blobs: BlobsBeside) -> None:
        self._blobs = blobs

    async def check(self, digest: bytes) -> AsyncIterator[int]:
        for piece in self._blobs.pieces(digest):
            yield len(piece)


def verify_backup(
    dest: Path, report: Report, *, name: str | None, rate: int | None, progress: Progress = silent
) -> Verified:
    """Verifies the newest backup in a folder, or that with the name. Raises as `verify`."""
    verified = Verified()

    def found(finding: Finding) -> None:
        verified.count(finding)
        report(finding)

    pace = Pace(rate)
    with Repository(dest) as repository:
        backup = repository.chosen(name)
        if sha256_of(backup.catalog) != backup.manifest.catalog_sha256:
            what = str(backup.catalog.relative_to(repository.root))
            found(Finding("damaged", what, "It is not what was written: restore another backup."))
            return verified
        catalog = catalog_of_backup(backup.catalog)
        try:
            verified.images, _, total = catalog.totals()
            for id in damaged_rows(catalog):
                found(Finding("damaged", f"image {id}", "Its row is not what was written."))
            for content in catalog.contents():
                try:
                    for piece in repository.read(content.digest):
                        verified.bytes += len(piece)
                        pace.take(len(piece))
                        progress("images", verified.bytes, total)
                except BlobCorrupt:
                    found(_fault_of_backup(content.digest.hex(), backup.manifest))
        finally:
            catalog.close()
    return verified


def _fault_of_backup(digest: str, manifest: Manifest) -> Finding:
    if digest in manifest.damaged:
        return Finding("missing", f"content {digest}", "It was damaged already when the backup was made.")
    says = "Its bytes are missing, or not those that were stored: conexiones backup --read-all mends that."
    return Finding("damaged", f"content {digest}", says)
