"""The lock on the data folder."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from conexiones.private_folder import private_folder
from conexiones.transport.process.data_lock import DataLock


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
