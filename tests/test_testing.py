"""conexiones.testing, as docs/testing.md shows it to others."""

import re
import subprocess
import sys

import pytest

from conexiones.testing import ServerError, serve
from tests.conftest import ROOT

EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "testing.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_run(example: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    if "get_user" in example:
        assert done.stdout == "¡Hola, Ada! Tu pow es 12 y su cuadrado es 144.\n"


def test_its_data_goes_with_it() -> None:
    with serve() as server:
        folder = server.data_dir
        assert (folder / "catalog.sqlite3").exists()
    assert not folder.exists()


def test_a_server_that_cannot_start_says_why() -> None:
    with pytest.raises(ServerError, match="TLS needs both"), serve(tls_cert="/nowhere"):
        pass
    with pytest.raises(TypeError, match="no such setting: colour"), serve(colour="blue"):
        pass
