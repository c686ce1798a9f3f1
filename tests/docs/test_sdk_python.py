"""docs/sdk-python.md: every example runs as it stands, but for the server's address."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conexiones.secret_form import TOKEN, made_of
from conexiones.testing import Server
from tests.support.paths import ROOT

EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "sdk-python.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_runs(shared: Server, photograph: bytes, tmp_path: Path, number: int) -> None:
    text = EXAMPLES[number].replace("localhost:50051", shared.address)
    text = text.replace("Client()", f'Client("{shared.address}")')
    text = text.replace("cnx_…", made_of(TOKEN, b"7" * 32))
    # Watching never ends by itself, so the example lists images instead.
    text = text.replace("client.watch()", "client.images(user='nobody')")
    (tmp_path / "example.py").write_text(text)
    (tmp_path / "client").symlink_to(ROOT / "client")
    (tmp_path / "scan.tif").write_bytes(photograph)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "example.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        input=photograph,
        capture_output=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
