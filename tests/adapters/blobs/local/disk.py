"""What is in the folder of a store, and what this process has open of it."""

from contextlib import suppress
from pathlib import Path

from conexiones.adapters.blobs.local.identity import NAME

OTHERS = (NAME, "ballast")


def tree(root: Path) -> list[str]:
    """The files, without those of the segments, and without checksums."""
    return [name for name in tree_with_checksums(root) if not name.endswith(".crc32c")]


def tree_with_checksums(root: Path) -> list[str]:
    """The files, without those of the segments, and without identity and ballast."""
    files = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    return sorted(str(path) for path in files if path.parts[0] != "segments" and path.name not in OTHERS)


def open_files(root: Path) -> list[str]:
    """The files below root that this process has open, without those of the segments."""
    targets = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # a thread has closed it meanwhile
            targets.append(str(entry.readlink()))
    ours = [target for target in targets if target.startswith(str(root))]
    return [target for target in ours if not target.startswith(str(root / "segments"))]
