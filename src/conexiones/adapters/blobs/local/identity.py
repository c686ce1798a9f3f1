"""Which catalog the blobs of a folder belong to: both have the same identity, a random number.

    root/blobs/catalog-id    the identity of the catalog, as 8 hex digits and a newline

A new catalog gets its identity before the folder does, and so does one that an earlier version made. When the
two do not belong together nothing is opened: the store would delete blobs that the catalog does not know.
"""

import os
import re
import secrets
from pathlib import Path

from conexiones.adapters.blobs.local.folder import Folder
from conexiones.adapters.blobs.local.segment_records import next_head
from conexiones.adapters.system.disk import sync_folder, write_durably
from conexiones.ports.catalog import Catalog

NAME = "catalog-id"

UNFINISHED = {"restoring.json": "restore", "migrating.json": "migrate"}
"""Files in the root of a folder that is not complete yet, and the commands that go on with it."""

_TEXT = re.compile(r"([0-9a-f]{8})\n")


def refuse_without_catalog(root: Path, catalog: Path) -> None:
    """ValueError, whose sentence says what to do, if a command has not completed the folder yet, or if there
    are blobs but no file of a catalog: call this before a new one is made. Raises OSError."""
    missing = not catalog.exists() or not catalog.stat().st_size
    for mark, command in UNFINISHED.items():
        # At its very end, the command has only the catalog left to name.
        prepared = catalog.with_name(f"{catalog.name}.{Path(mark).stem}")
        if (root / mark).exists() or (missing and prepared.exists()):
            raise ValueError(
                f"{root} is not complete: conexiones {command} was interrupted there. Run it again, and it"
                " goes on."
            )
    if missing and (_path(root).exists() or _has_blobs(root)):
        raise ValueError(
            f"{root} has images, but no catalog: put {catalog.name} back from a backup, or move blobs,"
            " segments and uploads away to start without them."
        )


async def check_identity(folder: Folder, catalog: Catalog) -> None:
    """Raises ValueError, whose sentence says what to do, if catalog and blobs do not belong together. If one
    of them has no identity yet, it gets that of the other; if neither has one, both get a new one."""
    ours = await folder.run(read_identity, folder.root)
    theirs = await catalog.identity()
    if ours and theirs == ours:
        return
    if ours and theirs:
        raise ValueError(
            f"The catalog in {folder.root} is not that of the blobs beside it ({theirs:08x} and {ours:08x}):"
            " put back the two that belong together."
        )
    stored = await folder.run(_has_blobs, folder.root)
    known = await _has_stored(catalog)
    if (stored or ours) and not known:
        raise ValueError(
            f"{folder.root} has images, but its catalog is empty: put the catalog back from a backup, or move"
            " blobs, segments and uploads away to start without them."
        )
    if known and theirs and not stored:
        raise ValueError(
            f"The catalog in {folder.root} has images, but the folder has none: put blobs and segments back"
            " from a backup, or move the catalog away to start without them."
        )
    identity = theirs or ours or secrets.randbelow((1 << 31) - 1) + 1
    if not theirs:
        await catalog.set_identity(identity)
    if not ours:
        await folder.run(write_identity, folder.root, identity)


async def _has_stored(catalog: Catalog) -> bool:
    """Whether the catalog has, or ever had, an image. Early versions reported no events."""
    _, newest = await catalog.event_range()
    return newest > 0 or bool(
        await catalog.list_images(limit=1, before=None, user=None, start=None, end=None)
    )


# For threads. These raise OSError.


def _path(root: Path) -> Path:
    return root / "blobs" / NAME


def read_identity(root: Path) -> int:
    """The identity of the folder, 0 if it has none. ValueError if the file is damaged."""
    path = _path(root)
    try:
        found = _TEXT.fullmatch(path.read_text(encoding="latin-1"))
    except FileNotFoundError:
        return 0
    if found is None:
        raise ValueError(f"{path} is damaged: put it back from a backup, or remove it.")
    return int(found[1], 16)


def write_identity(root: Path, identity: int) -> None:
    """Gives the folder an identity, durably."""
    path = _path(root)
    new = path.with_name(f"{NAME}.new")
    write_durably(new, f"{identity:08x}\n".encode())
    new.replace(path)
    sync_folder(path.parent)


def _has_blobs(root: Path) -> bool:
    """Whether there is a large blob, or a record in a segment."""
    if any((root / "blobs").glob("??/*")):
        return True
    for segment in (root / "segments").glob("????????"):
        descriptor = os.open(segment, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if next_head(descriptor, 0) is not None:
                return True
        finally:
            os.close(descriptor)
    return False
