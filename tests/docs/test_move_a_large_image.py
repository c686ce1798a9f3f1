"""docs/move-a-large-image.md: each of its programs moves an image; only the port and the size are changed."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conexiones import Client
from conexiones.testing import Server
from tests.support.clients import need
from tests.support.node import PACKAGE, run
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "move-a-large-image.md").read_text()
PROGRAMS = {
    name: code
    for code in re.findall(r"```\w+\n(.*?)```", PAGE, re.DOTALL)
    for name in re.findall(r"^(?:#|//) (\w+\.\w+)", code, re.MULTILINE)
}


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """scan.bmp as the page makes it, but lower: 18 MB."""
    folder = tmp_path_factory.mktemp("scan")
    code = PROGRAMS["make.py"].replace("18_000", "300")
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=folder, check=True)
    return folder / "scan.bmp"


@pytest.fixture
def folder(tmp_path: Path, scan: Path) -> Path:
    shutil.copy(scan, tmp_path)
    return tmp_path


def start(command: list[str], name: str, folder: Path, server: Server) -> str:
    (folder / name).write_text(PROGRAMS[name].replace("127.0.0.1:50051", server.address))
    environ: dict[str, Any] = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "CONEXIONES_ADDRESS": server.address,
    }
    return run(*command, folder=folder, **environ)


def same(folder: Path) -> bool:
    """Whether the copy is what was sent, and nothing was left behind."""
    assert not list(folder.glob("*.part")) + list(folder.glob("*.conexiones-upload"))
    return (folder / "copy.bmp").read_bytes() == (folder / "scan.bmp").read_bytes()


def test_the_command_line(shared: Server, folder: Path) -> None:
    start(["sh", "-eu", "move.sh"], "move.sh", folder, shared)
    assert same(folder)


def test_python(shared: Server, folder: Path) -> None:
    said = start([sys.executable, "-W", "error", "move.py"], "move.py", folder, shared)
    assert "18 of 18 MB" in said
    assert "BMP 20000 × 300" in said
    assert same(folder)


def test_node(node: str, shared: Server, folder: Path) -> None:
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "conexiones").symlink_to(PACKAGE)
    assert "BMP 20000 × 300" in start([node, "move.mjs"], "move.mjs", folder, shared)
    assert same(folder)


def test_curl(shared: Server, folder: Path) -> None:
    for program in ("bash", "curl", "jq", "openssl"):
        need(program, f"apt install {program}")
    said = start(["bash", "curl.sh", "scan.bmp"], "curl.sh", folder, shared)
    assert said.splitlines()[:3] == [f"{sent} of 18000054 bytes" for sent in (8388608, 16777216, 18000054)]
    upload = json.loads(said.splitlines()[-1])["upload"]
    assert upload["state"] == "STATE_READY"
    with Client(shared.address) as client:
        assert client.download(upload["image"]["id"]) == (folder / "scan.bmp").read_bytes()
    # A second run gets the same image and sends nothing.
    (again,) = start(["bash", "curl.sh", "scan.bmp"], "curl.sh", folder, shared).splitlines()
    uploads = [upload, json.loads(again)["upload"]]
    for each in uploads:
        each["image"].pop("facts", None)  # which are found at some time after the upload
    assert uploads[0] == uploads[1]


def test_curl_goes_on_with_what_is_there(shared: Server, folder: Path) -> None:
    # Other content makes another upload. The script is stopped after its first chunk.
    scan = folder / "scan.bmp"
    scan.write_bytes(scan.read_bytes()[:-1] + b"?")
    once = PROGRAMS["curl.sh"].replace("done\n", "exit 7\ndone\n", 1)
    (folder / "once.sh").write_text(once.replace("127.0.0.1:50051", shared.address))
    cut = subprocess.run(["bash", "once.sh", "scan.bmp"], cwd=folder, capture_output=True, check=False)
    assert (cut.returncode, cut.stderr) == (7, b"8388608 of 18000054 bytes\n")
    said = start(["bash", "curl.sh", "scan.bmp"], "curl.sh", folder, shared)
    assert said.splitlines()[0] == "16777216 of 18000054 bytes"
    assert '"STATE_READY"' in said
