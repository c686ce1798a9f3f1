"""Files that are written past the page cache."""

import os
from mmap import mmap
from pathlib import Path
from typing import Any

import pytest

from conexiones.direct_file import BLOCK, DirectFile


@pytest.mark.parametrize("instead", ["nothing", "a link"])
def test_both_descriptors_are_of_one_file_whatever_becomes_of_its_name(
    instead: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder that others write to, a name may lead elsewhere at any time."""
    path, moved, other = tmp_path / "file", tmp_path / "moved", tmp_path / "other"
    other.write_bytes(b"of somebody else")
    opened = os.open

    def moving(name: Any, *more: Any) -> int:
        descriptor = opened(name, *more)
        if name == path:
            path.rename(moved)
            if instead == "a link":
                path.symlink_to(other)
        return descriptor

    monkeypatch.setattr(os, "open", moving)
    file = DirectFile(path, os.O_CREAT | os.O_NOFOLLOW)
    memory = mmap(-1, 2 * BLOCK)
    memory[:] = b"x" * (2 * BLOCK)
    file.write([memoryview(memory)], 0)
    file.close()
    assert moved.read_bytes() == memory[:]
    assert other.read_bytes() == b"of somebody else"
