"""What keeps a server from starting is said in one sentence."""

import errno
import os
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from conexiones import cli
from conexiones.settings import Settings
from conexiones.transport.process.routes import Routes
from conexiones.transport.process.start_error import StartError
from conexiones.transport.process.supervisor import Supervisor


async def _start(data_dir: Path) -> None:
    settings = Settings.load(flags={"data_dir": str(data_dir), "address": "127.0.0.1:0"}, environ={})
    await Supervisor(settings, app="nothing:none").run(lambda address: None)


async def test_without_a_place_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    with pytest.raises(StartError, match=r"Cannot make a folder for temporary files: no usable temp"):
        await _start(tmp_path)


async def test_with_a_path_that_is_too_long_for_a_socket(tmp_path: Path) -> None:
    settings = Settings.load(
        flags={"data_dir": str(tmp_path), "admin_address": f"unix:/{'x' * 108}/a"}, environ={}
    )
    with pytest.raises(StartError, match="path too long"):
        await Supervisor(settings, app="nothing:none").run(lambda address: None)


def test_that_it_is_ready_need_not_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("conexiones.cli.click.echo", full)
    cli._ready(cast(Supervisor, SimpleNamespace(settings=Settings(), admin=None)), "127.0.0.1:1")


async def test_without_room_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Routes, "write", full)
    with pytest.raises(StartError, match=r"Cannot write to the temporary folder /.*: no space left"):
        await _start(tmp_path)
