"""The lock on the data folder."""

import errno
import fcntl
import os
import shutil
from pathlib import Path

import pytest

from conexiones.private_folder import private_folder
from conexiones.transport.process.data_lock import DataLock
from conexiones.transport.process.start_error import StartError


def test_a_disk_that_fails_changes_nothing_about_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with DataLock(tmp_path) as lock:
        monkeypatch.setattr(os, "ftruncate", fails)
        lock.sweep(tmp_path / "private")
    with DataLock(tmp_path):
        pass


def test_a_folder_is_taken_though_somebody_has_removed_the_file_of_the_lock(tmp_path: Path) -> None:
    with DataLock(tmp_path):
        (tmp_path / "lock").unlink()
        with pytest.raises(StartError, match="is in use by another server"), DataLock(tmp_path):
            pass
    with DataLock(tmp_path):
        pass


def test_a_file_system_without_locks_is_said_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", fails)
    with pytest.raises(StartError, match=r"Cannot lock .* no locks available"), DataLock(tmp_path):
        pass


def test_no_data_folder_is_taken_for_a_private_one_whatever_it_is_called(tmp_path: Path) -> None:
    data, backups, another = (tmp_path / f"conexiones-{name}" for name in ("data", "backups", "another"))
    with DataLock(data) as lock:
        lock.sweep(tmp_path / "private")
    backups.mkdir()
    (backups / "lock").touch()
    another.mkdir()
    (another / "lock").write_text(str(data))
    with private_folder(tmp_path) as private, DataLock(another) as lock:
        lock.sweep(private)
        assert set(tmp_path.iterdir()) == {data, backups, another, private}


def test_nobody_cleans_up_in_a_private_folder(tmp_path: Path) -> None:
    """As systemd-tmpfiles would, which tries to lock each folder."""
    with private_folder(tmp_path) as private:
        folder = os.open(private, os.O_RDONLY | os.O_DIRECTORY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(folder)
    assert not private.exists()


def test_the_private_folder_of_a_server_that_runs_stays(tmp_path: Path) -> None:
    """The lock of a copy of its data folder names it, too."""
    with private_folder(tmp_path) as private, DataLock(tmp_path / "data") as lock:
        lock.sweep(private)
        shutil.copytree(tmp_path / "data", tmp_path / "copy")
        with DataLock(tmp_path / "copy") as copy:
            copy.sweep(tmp_path / "another")
        assert private.exists()
        kept = shutil.copytree(private, tmp_path / f"{private.name}-left")
        lock.sweep(kept)
        with DataLock(tmp_path / "killed") as killed:
            killed.sweep(kept)
            killed.sweep(private)
    assert not kept.exists()
