"""The unit of systemd: how it is rated, and that the server works under what it forbids."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conexiones.sdk import Client, Rendition
from conexiones.testing import Server
from tests.support.clients import need
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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take rights away like systemd")
def test_the_server_works_under_it(
    tmp_path: Path, photograph: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its sandbox for decoders, the parts of which it would otherwise say are missing."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, sys.path)]))
    program = (sys.executable, "-m", "conexiones", "serve")
    command = ("-m", "tests.deploy.confined", str(UNIT), str(tmp_path), *program)
    server = Server(tmp_path / "data", {}, command)
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
    assert not list(tmp_path.glob("tmp/*")), "and what it made is removed"
