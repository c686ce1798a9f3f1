"""How much memory the machine, or the container in it, gives this process."""

import os
from collections.abc import Iterator
from pathlib import Path

_UNLIMITED = 1 << 60
"""Version 1 of cgroups writes "no limit" as a number near 2^63."""


def total_memory() -> int:
    """The memory of the machine, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def memory_limit(proc: Path = Path("/proc/self")) -> int | None:
    """The least limit, in bytes, of the process's cgroup and of all groups around it; None without one.

    Both versions of cgroups are read: `memory.max` and `memory.high` of version 2, and `limit_in_bytes` of
    version 1. `proc` is the folder of the process.
    """
    limits = [limit for folder in _folders(proc) for limit in _limits(folder)]
    return min(limits, default=None)


def _folders(proc: Path) -> Iterator[Path]:
    """The folders of the process's groups that may limit memory, from its own up to the root."""
    for root, mount, kind, options in _mounts(proc):
        for own in _groups(proc, kind, options):
            # In a container, the mount may show only a part of the tree, which begins at `root`.
            inside = own.removeprefix(root.rstrip("/")) if own.startswith(root) else ""
            folder = mount / inside.strip("/")
            yield folder
            yield from (parent for parent in folder.parents if parent == mount or mount in parent.parents)


def _mounts(proc: Path) -> Iterator[tuple[str, Path, str, list[str]]]:
    """Of each mounted tree of groups: the group at its root, its folder, its type and its options."""
    for line in _text(proc / "mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields, more = before.split(), after.split()
        if len(fields) > 4 and len(more) > 2 and more[0] in {"cgroup", "cgroup2"}:
            yield fields[3], Path(fields[4]), more[0], more[2].split(",")


def _groups(proc: Path, kind: str, options: list[str]) -> Iterator[str]:
    """The paths of the process's groups in such a tree, if it is one that limits memory."""
    for line in _text(proc / "cgroup").splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        version_2 = number == "0" and not controllers
        if version_2 if kind == "cgroup2" else "memory" in controllers.split(",") and "memory" in options:
            yield path


def _limits(folder: Path) -> Iterator[int]:
    for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
        text = _text(folder / name).strip()
        if text.isdigit() and int(text) < _UNLIMITED:
            yield int(text)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
