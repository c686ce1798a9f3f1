"""The unit of systemd: how it is rated, and that the server works under what it forbids."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from conexiones.sdk import Client, Rendition
from conexiones.testing import Server
from tests.support.clients import need
from tests.support.kept import DECODE_SECONDS
from tests.support.paths import ROOT

UNIT = ROOT / "deploy" / "systemd" / "conexiones.service"


@pytest.fixture(autouse=True)
def _systemd() -> None:
    need("systemd-analyze", "apt install systemd")


def test_its_exposure_is_below_2() -> None:
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=19", UNIT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert rated.returncode == 0, rated.stdout


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path is short enough for the sockets in it."""
    with TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take rights away like systemd")
def test_the_server_works_under_it(photograph: bytes, monkeypatch: pytest.MonkeyPatch, short: Path) -> None:
    """With its sandbox for decoders, the parts of which it would otherwise say are missing."""
    (short / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(short / "tmp"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, sys.path)]))
    program = (sys.executable, "-m", "conexiones", "serve")
    command = ("-m", "tests.deploy.confined", str(UNIT), str(short), *program)
    server = Server(short / "data", {"decode_seconds": DECODE_SECONDS}, command)
    server.start()
    try:
        with Client(server.address) as client:
            image = client.upload(photograph)
            assert client.download(image.id, rendition=Rendition(width=100, format="webp"))
            assert client.download(image.id) == photograph
            assert client.health() == "SERVING"
    finally:
        assert server.stop() == 0
    assert "sandbox" not in server.log
    assert not list(short.glob("tmp/*")), "and what it made is removed"
