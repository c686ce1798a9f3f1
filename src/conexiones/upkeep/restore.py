"""Makes a data folder of a backup, also of one by an earlier version: the server migrates it when it starts.

The folder has to be new or empty. While it is being made it has `restoring.json`, which says from which
backup, and no catalog, without which no server starts over it. The catalog gets its name last. A run that was
killed is gone on with by another one from the same backup.
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conexiones.adapters.blobs.local.beside import records_in, segment_numbers
from conexiones.adapters.blobs.local.checksums import BLOCK_BYTES, Checksums
from conexiones.adapters.blobs.local.identity import write_identity
from conexiones.adapters.blobs.local.segment_records import HEAD, head_of
from conexiones.adapters.blobs.local.store import SMALL
from conexiones.adapters.catalog.sqlite.catalog_file import Contents, prepare_restored
from conexiones.adapters.catalog.sqlite.schema import FILE as CATALOG
from conexiones.adapters.system.disk import sync_folder, write_durably
from conexiones.errors import BlobCorrupt
from conexiones.upkeep.data_folder import check_apart
from conexiones.upkeep.packs import write_whole
from conexiones.upkeep.problem import Problem
from conexiones.upkeep.repository import Backup, Repository, catalog_of_backup, sha256_of
from conexiones.upkeep.steps import Progress, silent

RESTORING = "restoring.json"

SEGMENT = 256 << 20
"""Bytes at which a segment is full."""


@dataclass(slots=True, kw_only=True)
class Restored:
    """What a run has done. `missing` are contents that the backup does not have whole, in hexadecimal."""

    backup: Backup
    images: int = 0
    ended_uploads: int = 0
    missing: list[str]


def restore(dest: Path, data_dir: Path, *, name: str | None = None, progress: Progress = silent) -> Restored:
    """Makes `data_dir` of the newest backup in the folder `dest`, or of that with the name. Raises Problem,
    OSError and sqlite3.Error; then there is no data folder yet."""
    check_apart(dest, data_dir)
    with Repository(dest) as repository:
        backup = repository.chosen(name)
        if backup.catalog.stat().st_size != backup.manifest.catalog_bytes or (
            sha256_of(backup.catalog) != backup.manifest.catalog_sha256
        ):
            raise Problem(f"{backup.catalog} is damaged: restore another backup with --backup.")
        lock = _begin(data_dir, repository, backup)
        try:
            restored = Restored(backup=backup, missing=[])
            catalog = catalog_of_backup(backup.catalog)
            try:
                restored.images, _, total = catalog.totals()
                target = _Target(data_dir)
                done = 0
                for content in catalog.contents():
                    progress("images", done, total)
                    if not target.has(content):
                        try:
                            target.add(content, repository.read(content.digest))
                        except BlobCorrupt:
                            restored.missing.append(content.digest.hex())
                    done += content.size
                target.finish()
                write_identity(data_dir, catalog.identity)
            finally:
                catalog.close()
            restored.ended_uploads = _put_catalog(backup, data_dir)
            return restored
        finally:
            os.close(lock)


def _begin(data_dir: Path, repository: Repository, backup: Backup) -> int:
    """Takes the folder, and gives the descriptor of its lock."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    mark = data_dir / RESTORING
    said = {"backup": backup.name, "identity": repository.identity}
    if {path.name for path in data_dir.iterdir()} - {"lost+found", "lock", f"{RESTORING}.new"}:
        # A run that was killed at its very end has only the catalog left to name.
        ours = mark.exists() or (data_dir / _PREPARED).exists()
        if (data_dir / CATALOG).exists() or not ours:
            raise Problem(f"{data_dir} is not empty: restore into a new folder.")
        if mark.exists() and _read(mark) != said:
            raise Problem(f"{data_dir} has a part of another backup: remove it, or give another folder.")
    lock = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise Problem(f"{data_dir} is in use by a server, or by another restore.") from None
    try:
        new = data_dir / f"{RESTORING}.new"
        write_durably(new, json.dumps(said).encode())
        new.replace(mark)
        for folder in (data_dir, data_dir.absolute().parent):
            sync_folder(folder)
    except BaseException:
        os.close(lock)
        raise
    return lock


_PREPARED = f"{CATALOG}.restoring"


def _read(mark: Path) -> object:
    try:
        return json.loads(mark.read_bytes())
    except ValueError:
        return None


def _put_catalog(backup: Backup, data_dir: Path) -> int:
    """Gives the number of uploads that were ended."""
    prepared = data_dir / _PREPARED
    shutil.copyfile(backup.catalog, prepared)
    prepared.chmod(0o600)
    if sha256_of(prepared) != backup.manifest.catalog_sha256:
        raise Problem(f"{prepared} reads back other bytes than were written: its disk cannot be relied on.")
    ended = prepare_restored(prepared, time.time_ns() // 1000)
    sync_folder(data_dir)
    (data_dir / RESTORING).unlink()
    sync_folder(data_dir)
    prepared.replace(data_dir / CATALOG)
    sync_folder(data_dir)
    return ended


class _Target:
    """The blobs and segments of the new folder, as adapters/blobs/local/store.py describes them."""

    def __init__(self, root: Path) -> None:
        self._blobs = root / "blobs"
        self._segments = root / "segments"
        self._work = root / "incoming"
        fan = (self._blobs / f"{number:02x}" for number in range(256))
        for folder in (self._blobs, self._segments, self._work, root / "uploads", *fan):
            folder.mkdir(mode=0o700, exist_ok=True)
        sync_folder(self._blobs)
        sync_folder(root)
        for left in self._work.iterdir():
            left.unlink()
        self._small: set[bytes] = set()
        numbers = segment_numbers(self._segments)
        for number in numbers:
            self._small |= {one.digest for one in records_in(self._segments / f"{number:08x}", number)}
        self._number = max(numbers, default=-1) + 1
        self._descriptor = -1
        self._end = 0

    def has(self, content: Contents) -> bool:
        if content.size <= SMALL:
            return content.digest in self._small
        path = self._path(content.digest)
        return path.exists() and path.stat().st_size == content.size

    def add(self, content: Contents, pieces: Iterator[bytes]) -> None:
        """Adds a content, durably at `finish`. Raises BlobCorrupt, and then adds nothing."""
        if content.size > SMALL:
            self._add_file(content, pieces)
            return
        data = b"".join(pieces)
        if self._descriptor < 0:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._descriptor = os.open(self._work / f"{self._number:08x}", flags, 0o600)
            self._end = 0
        write_whole(self._descriptor, head_of(len(data), content.digest) + data)
        self._end += HEAD.size + len(data)
        if self._end >= SEGMENT:
            self.finish()

    def finish(self) -> None:
        if self._descriptor < 0:
            return
        os.fsync(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1
        name = f"{self._number:08x}"
        (self._work / name).replace(self._segments / name)
        sync_folder(self._segments)
        self._number += 1

    def _add_file(self, content: Contents, pieces: Iterator[bytes]) -> None:
        new, path = self._work / "blob", self._path(content.digest)
        checksums = Checksums()
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            for piece in pieces:
                write_whole(descriptor, piece)
                checksums.add(piece)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if content.size > BLOCK_BYTES:  # before the blob, as whoever finds that looks for them
            beside = self._work / "checksums"
            write_durably(beside, checksums.pack())
            beside.replace(path.with_name(f"{path.name}.crc32c"))
        new.replace(path)
        sync_folder(path.parent)

    def _path(self, digest: bytes) -> Path:
        name = digest.hex()
        return self._blobs / name[:2] / name
