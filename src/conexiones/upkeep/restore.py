"""Makes a data folder of a backup, also of one by an earlier version: the server migrates it when it starts.

The folder has to be new or empty. While it is being made it has `restoring.json`, which says from which
backup, and no catalog, without which no server starts over it. The catalog gets its name last. A run that was
killed is gone on with by another one from the same backup.
"""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from conexiones.adapters.blobs.local.identity import write_identity
from conexiones.adapters.catalog.sqlite.catalog_file import prepare_restored
from conexiones.errors import BlobCorrupt
from conexiones.upkeep.data_folder import check_apart
from conexiones.upkeep.new_blobs import NewBlobs
from conexiones.upkeep.new_folder import NewFolder
from conexiones.upkeep.problem import Problem
from conexiones.upkeep.repository import Backup, Repository, catalog_of_backup, sha256_of
from conexiones.upkeep.steps import Progress, silent

RESTORING = "restoring.json"


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
        said = {"backup": backup.name, "identity": repository.identity}
        with NewFolder(data_dir, RESTORING, said, whose="another backup") as folder:
            restored = Restored(backup=backup, missing=[])
            catalog = catalog_of_backup(backup.catalog)
            try:
                restored.images, _, total = catalog.totals()
                target = NewBlobs(data_dir)
                done = 0
                for content in catalog.contents():
                    progress("images", done, total)
                    if not target.has(content.digest, content.size):
                        try:
                            target.add(content.digest, content.size, repository.read(content.digest))
                        except BlobCorrupt:
                            restored.missing.append(content.digest.hex())
                    done += content.size
                target.finish()
                write_identity(data_dir, catalog.identity)
            finally:
                catalog.close()
            restored.ended_uploads = _put_catalog(backup, folder)
            return restored


def _put_catalog(backup: Backup, folder: NewFolder) -> int:
    """Gives the number of uploads that were ended."""
    prepared = folder.prepared
    shutil.copyfile(backup.catalog, prepared)
    prepared.chmod(0o600)
    if sha256_of(prepared) != backup.manifest.catalog_sha256:
        raise Problem(f"{prepared} reads back other bytes than were written: its disk cannot be relied on.")
    ended = prepare_restored(prepared, time.time_ns() // 1000)
    folder.complete()
    return ended
