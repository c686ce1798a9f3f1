"""docs/access.md: its examples in Python and for curl run as they stand, but for the server's address."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conexiones.testing import Server, serve
from tests.support.clients import need
from tests.support.kept import DECODE_SECONDS
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "access.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SHELL = re.findall(r"```sh\n(.*?)```", PAGE.partition("## From other programs")[2], re.DOTALL)


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    with serve(auth="required", decode_seconds=DECODE_SECONDS) as server:
        yield server


@pytest.mark.parametrize("example", PYTHON)
def test_an_example_in_python_runs(guarded: Server, example: str) -> None:
    environ = {"CONEXIONES_ADDRESS": guarded.address, "CONEXIONES_TOKEN": guarded.token}
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    if "image_link" in example:
        link, download = ran.stdout.splitlines()[:2]
        assert link.startswith(f"http://{guarded.address}/images/")
        assert download.startswith("https://images.example/images/")


def test_the_lines_for_a_shell_run(guarded: Server, photograph: bytes, tmp_path: Path) -> None:
    """grpcurl's where there is one."""
    need("curl", "apt install curl")
    with guarded.client() as client:
        id = client.upload(photograph).id
    has_grpcurl = subprocess.run(["which", "grpcurl"], capture_output=True, check=False).returncode == 0
    for block in SHELL:
        if "grpcurl" in block and not has_grpcurl:
            continue
        script = block.replace("127.0.0.1:50051", guarded.address).replace("/ID?", f"/{id}?")
        script = script.replace("curl -H @", "curl -sSf -H @")
        ran = subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=tmp_path,
            env={**os.environ, "CONEXIONES_TOKEN": guarded.token},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ran.returncode, ran.stderr) == (0, ""), script
        assert "Ada" in ran.stdout
        assert guarded.token not in ran.stdout
    assert (tmp_path / "small.jpg").read_bytes().startswith(b"\xff\xd8")
    assert (tmp_path / "header").stat().st_mode & 0o777 == 0o600


def test_no_line_for_a_shell_has_a_token_in_its_arguments() -> None:
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line.removesuffix("\\"))
            started = words and words[0] in {"curl", "grpcurl", "conexiones"}
            assert not started or not re.search(r"\bcn[xts]_|\"\$CONEXIONES_TOKEN", line), line
