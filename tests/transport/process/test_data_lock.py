"""The lock on the data folder."""

import errno
import os
from pathlib import Path

import pytest

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
