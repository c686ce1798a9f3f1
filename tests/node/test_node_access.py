"""The Node.js SDK and the tokens, tickets and links of a server that asks for credentials."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from conexiones.domain.access import TOKEN, mint
from conexiones.testing import Server
from tests.support.node import PACKAGE, PROGRAMS, run, run_tests
from tests.support.paths import ROOT


@pytest.fixture
def guarded(start: Callable[..., Server], tmp_path: Path) -> Server:
    return start(tmp_path / "data", auth="required")


def test_its_own_tests_of_access(node: str, guarded: Server, tmp_path: Path) -> None:
    environ: dict[str, Any] = {
        "CONEXIONES_ADDRESS": guarded.address,
        "CONEXIONES_DATA_DIR": str(guarded.data_dir),
    }
    # It takes some seconds. If it does not end when its tests have passed, one left something open.
    run_tests(node, PROGRAMS.parent / "access", tmp_path, timeout=300, **environ)


def test_the_examples_of_the_pages_run(node: str, guarded: Server, photograph: bytes, tmp_path: Path) -> None:
    for name in ("access.md", "sdk-node.md"):
        page = (ROOT / "docs" / name).read_text()
        for name, code in re.findall(r"```js\n// (\S+)\n(.*?)```", page, re.DOTALL):
            (tmp_path / name).write_text(code)
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "conexiones").symlink_to(PACKAGE)
    (tmp_path / "scan.jpg").write_bytes(photograph)
    (tmp_path / "token").write_bytes((guarded.data_dir / "admin-token").read_bytes())
    environ: dict[str, Any] = {"CONEXIONES_ADDRESS": guarded.address}
    said = run(node, "token.mjs", folder=tmp_path, **environ)
    assert said.startswith("token:admin [ 'read', 'write', 'delete', 'admin' ] ")
    with subprocess.Popen(
        [node, "backend.mjs"],
        cwd=tmp_path,
        env=os.environ | environ | {"CONEXIONES_TOKEN_FILE": "token"},
        stdout=subprocess.PIPE,
        text=True,
    ) as backend:
        assert backend.stdout
        base = f"http://127.0.0.1:{backend.stdout.readline().strip()}"
        with urlopen(f"{base}/ticket") as response:
            ticket = json.load(response)["secret"]
        id, reason = run(node, "guest.mjs", folder=tmp_path, TICKET=ticket, **environ).split()
        assert reason == "SCOPE_MISSING"
        with urlopen(f"{base}/image/{id}") as response:
            assert response.url.startswith(f"http://{guarded.address}/images/{id}?")
            assert response.read(2) == b"\xff\xd8"
        backend.kill()


# A client with a wrong token tries until the server slows it down. Then what a call is told that has no time
# to wait, and what one is told that waits.
WAITING = """
import { Client } from "conexiones";
const client = Client.fromEnviron();
const said = (options) => client.limits(options).catch((error) => error);
let error;
do error = await said({ timeoutMs: 900 });
while (error.reason !== "RATE_EXCEEDED");
console.log(error.reason, error.retryAfterMs >= 1000);
console.log((await said()).reason);
client.close();
"""


def test_it_waits_as_long_as_the_server_says(node: str, guarded: Server, tmp_path: Path) -> None:
    (tmp_path / "waiting.mjs").write_text(WAITING)
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "conexiones").symlink_to(PACKAGE)
    environ: dict[str, Any] = {"CONEXIONES_ADDRESS": guarded.address, "CONEXIONES_TOKEN": mint(TOKEN)}
    assert run(node, "waiting.mjs", folder=tmp_path, **environ) == "RATE_EXCEEDED true\nTOKEN_UNKNOWN\n"
