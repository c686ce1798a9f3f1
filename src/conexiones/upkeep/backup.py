"""Copies a data folder while its server runs, or does not.

First the catalog is copied as it is at one moment, and then the contents to which that copy refers, as far
as the folder of backups has not got them. The server knows nothing of it, and deletes meanwhile what it is
told to delete: an image that cannot be read any more, and is no longer in the server's catalog either, is
taken out of the copy, as if it had been deleted before. An image that is still in the catalog and cannot be
read is damaged: the backup goes on without it, and says so.

When it is killed, the next run goes on with the contents that are there already, and with a newer copy of
the catalog. Only a large image that was being copied begins anew.
"""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from conexiones import __version__
from conexiones.adapters.blobs.local.beside import BlobsBeside
from conexiones.adapters.catalog.sqlite.catalog_file import CatalogFile, Contents, remove_contents
from conexiones.adapters.catalog.sqlite.schema import FILE as CATALOG
from conexiones.adapters.catalog.sqlite.wal import look as look_at_wal
from conexiones.adapters.system.sqlite_beside import UNREADABLE
from conexiones.errors import BlobCorrupt
from conexiones.upkeep.data_folder import catalog_of, check_apart
from conexiones.upkeep.problem import Problem
from conexiones.upkeep.repository import Backup, Manifest, Repository, digests_of, sha256_of
from conexiones.upkeep.steps import Progress, silent
from conexiones.upkeep.stored_rows import damaged_rows

ATTEMPTS = 6
"""How often a content is looked for that the catalog has and that is not where it was: it may have been
deleted and stored again a moment ago."""

WAIT_SECONDS = 0.05
"""Before the second attempt; each further wait is twice as long."""


@dataclass(slots=True, kw_only=True)
class Copied:
    """What a run has done. `damaged` are contents that are damaged in the data folder and in no backup, with
    the file that should have them. `rows` are the ids of images whose row in the catalog is damaged: they are
    in the backup as they are, and are not served there either."""

    backup: Backup | None = None
    new_contents: int = 0
    new_bytes: int = 0
    deleted: int = 0  # images that were deleted meanwhile
    damaged: dict[bytes, str] = field(default_factory=dict)
    rows: list[str] = field(default_factory=list)
    mended: int = 0  # contents of the backup that were damaged there, and are written anew
    removed: list[str] = field(default_factory=list)  # names of older backups


def back_up(
    data_dir: Path, dest: Path, *, keep: int, read_all: bool = False, progress: Progress = silent
) -> Copied:
    """Adds a backup of a data folder to the folder `dest`, and removes all but the newest `keep`. With
    `read_all`, what is there already is read again, too, and written anew where it is damaged.

    Raises Problem, OSError and sqlite3.Error. Then there is no new backup, and the older ones are as they
    were.
    """
    check_apart(dest, data_dir)
    log = data_dir / f"{CATALOG}-wal"
    if look_at_wal(log)[0] == "damaged":  # SQLite would leave out what was committed there, without a word
        raise Problem(f"{log} is damaged, and the catalog is not backed up: conexiones verify says more.")
    catalog = catalog_of(data_dir)
    try:
        blobs = BlobsBeside(data_dir)
        try:
            with Repository(dest, identity=catalog.identity) as repository:
                return _Run(catalog, blobs, repository, progress).run(keep=keep, read_all=read_all)
        finally:
            blobs.close()
    finally:
        catalog.close()


class _Run:
    def __init__(
        self, catalog: CatalogFile, blobs: BlobsBeside, repository: Repository, progress: Progress
    ) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._repository = repository
        self._progress = progress
        self._copied = Copied()
        self._gone: list[bytes] = []
        self._done = 0  # bytes

    def run(self, *, keep: int, read_all: bool) -> Copied:
        begun = datetime.now(UTC)
        copy = self._repository.begin()
        self._catalog.copy(copy, partial(self._progress, "catalog"))
        file = CatalogFile(copy, alone=True)
        try:
            if problems := file.problems():
                says = f"The catalog is damaged, and is not backed up: {problems[0]}."
                raise Problem(f"{says} conexiones verify says more.")
            lost = self._lost()
            self._thin_out(file, keep)
            _, _, total = file.totals()
            for content in file.contents():
                self._progress("images", self._done, total)
                self._take(content, total, read=read_all or content.digest in lost)
            self._repository.packs.finish()
            uploads = len(file.open_uploads())
            self._copied.rows = damaged_rows(file)
        finally:
            file.close()
        if self._gone:
            self._copied.deleted = remove_contents(copy, self._gone, time.time_ns() // 1000)
        manifest = self._manifest(copy, begun, uploads)
        self._copied.backup = backup = self._repository.complete(begun, manifest)
        try:
            self._copied.removed = self._repository.prune(keep)
        except OSError as error:
            why = f"{error.filename or self._repository.root}: {error.strerror or error}"
            raise Problem(
                f"{backup.name} is complete, but older backups cannot be removed: {why}."
            ) from error
        return self._copied

    def _lost(self) -> set[bytes]:
        """Contents that the last backup is without. A pack may still have damaged bytes of them."""
        backups = self._repository.backups()
        return {bytes.fromhex(digest) for digest in backups[-1].manifest.damaged} if backups else set()

    def _thin_out(self, file: CatalogFile, keep: int) -> None:
        staying = self._repository.backups()[1 - keep :] if keep > 1 else []  # beside this one
        try:
            needed = digests_of(staying)
        except UNREADABLE:
            return  # a damaged catalog of an old backup keeps no new one from being made
        needed.update(one.digest for one in file.contents())
        self._repository.packs.thin_out(needed)

    def _take(self, content: Contents, total: int, *, read: bool) -> None:
        """Sees to it that the folder of backups has a content, or knows why not. With `read`, what is there
        already is read."""
        digest, size = content.digest, content.size
        there = self._repository.has(digest, size)
        spoilt = False
        if there and read:
            try:
                for _ in self._repository.read(digest):
                    pass
            except BlobCorrupt:
                self._repository.forget(digest)
                there, spoilt = False, True
        if not there and self._copy(content, total):
            self._copied.new_contents += 1
            self._copied.new_bytes += size
            self._copied.mended += spoilt  # not where the data folder has no better bytes
        self._done += size

    def _copy(self, content: Contents, total: int) -> bool:
        wait = WAIT_SECONDS
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(wait)
                wait *= 2
            try:
                at = self._done
                for count in self._repository.add(
                    content.digest, self._blobs.pieces(content.digest), content.size
                ):
                    at += count
                    self._progress("images", at, total)
                return True
            except BlobCorrupt:
                if not self._catalog.has_digest(content.digest):
                    self._gone.append(content.digest)
                    return False
        self._copied.damaged[content.digest] = self._blobs.where(content.digest)
        return False

    def _manifest(self, copy: Path, begun: datetime, uploads: int) -> Manifest:
        file = CatalogFile(copy, alone=True)
        try:
            images, contents, size = file.totals()
            return Manifest(
                time=begun.isoformat(timespec="seconds"),
                program=__version__,
                schema=file.schema,
                identity=f"{file.identity:08x}",
                images=images,
                contents=contents,
                bytes=size,
                open_uploads=uploads,
                catalog_bytes=copy.stat().st_size,
                catalog_sha256=sha256_of(copy),
                damaged=sorted(digest.hex() for digest in self._copied.damaged),
            )
        finally:
            file.close()
