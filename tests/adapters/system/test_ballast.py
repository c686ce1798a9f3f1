"""The space that is kept for deleting."""

import errno
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conexiones.adapters.system.ballast import SIZE, STEP, Ballast


def test_it_takes_real_space_once(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path)
    assert not ballast.is_held
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: ballast.hold(), range(50)))
    (file,) = tmp_path.iterdir()
    assert (file.name, file.stat().st_size, file.stat().st_mode & 0o777) == ("ballast", SIZE, 0o600)
    assert file.stat().st_blocks * 512 >= SIZE
    left = [SIZE]
    while ballast.give_up():
        assert not ballast.is_held
        left.append(file.stat().st_blocks * 512 if file.exists() else 0)
    assert left == [SIZE, SIZE - STEP, SIZE - 2 * STEP, STEP, 0], "so another program cannot take all of it"
    assert list(tmp_path.iterdir()) == []


def test_on_a_full_disk_it_gives_its_space_and_comes_back_when_there_is_room(
    small_disk: Path, fill_disk: Callable[[Path], None]
) -> None:
    ballast = Ballast(small_disk)
    ballast.hold()
    fill_disk(small_disk / "filler")
    ballast.hold()
    ballast.give_up_if_full(OSError(errno.ENOSPC, "full"))
    (small_disk / "something").write_bytes(bytes(STEP // 2))
    for _ in range(2):
        with pytest.raises(OSError, match="No space") as refused:
            ballast.hold()
        assert refused.value.errno == errno.ENOSPC
        assert {path.name for path in small_disk.iterdir()} == {"filler", "something", "ballast"}
        assert (small_disk / "ballast").stat().st_size == SIZE - STEP
    (small_disk / "something").unlink()
    ballast.hold()
    assert ballast.is_held


def test_for_other_failures_it_is_kept(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path)
    ballast.hold()
    with pytest.raises(OSError, match="broken"):
        ballast.give_up_if_full(OSError(errno.EIO, "broken"))
    assert ballast.is_held


def test_what_a_crash_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / "ballast.1.2").touch()
    Ballast(tmp_path).hold()
    Ballast(tmp_path).sweep()
    assert [path.name for path in tmp_path.iterdir()] == ["ballast"]
