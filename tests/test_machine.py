"""The memory that a container allows, as its files say it."""

from pathlib import Path

import pytest

from conexiones.machine import memory_limit, total_memory

MIB = 1 << 20


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    folder = tmp_path / "proc"
    folder.mkdir()
    return folder


def _write(folder: Path, name: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"{text}\n")


def _version_2(proc: Path, tree: Path, own: str, *, root: str = "/") -> None:
    (proc / "cgroup").write_text(f"0::{own}\n")
    (proc / "mountinfo").write_text(f"30 23 0:26 {root} {tree} rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n")


def test_the_least_limit_of_all_groups_counts(proc: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    _version_2(proc, tree, "/a/b/c")
    _write(tree / "a/b/c", "memory.max", "max")
    assert memory_limit(proc) is None
    _write(tree / "a/b", "memory.max", str(700 * MIB))
    _write(tree / "a", "memory.max", str(900 * MIB))
    assert memory_limit(proc) == 700 * MIB
    _write(tree / "a", "memory.high", str(600 * MIB))
    assert memory_limit(proc) == 600 * MIB


def test_version_1(proc: Path, tmp_path: Path) -> None:
    tree = tmp_path / "memory"
    (proc / "cgroup").write_text("5:cpu:/x\n4:memory:/outer/inner\n0::/\n")
    (proc / "mountinfo").write_text(
        f"40 23 0:30 / {tree} rw - cgroup cgroup rw,memory\n"
        f"41 23 0:31 / {tmp_path} rw - cgroup cgroup rw,cpu\n"
    )
    _write(tree / "outer/inner", "memory.limit_in_bytes", "9223372036854771712")  # no limit
    assert memory_limit(proc) is None
    _write(tree / "outer", "memory.limit_in_bytes", str(512 * MIB))
    assert memory_limit(proc) == 512 * MIB


def test_a_container_sees_only_its_part_of_the_tree(proc: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    _version_2(proc, tree, "/docker/1234", root="/docker/1234")
    _write(tree, "memory.max", str(256 * MIB))
    assert memory_limit(proc) == 256 * MIB


def test_without_groups_there_is_no_limit(proc: Path) -> None:
    assert memory_limit(proc) is None


def test_of_this_process() -> None:
    limit = memory_limit()
    assert limit is None or limit > 0
    assert total_memory() > 0
