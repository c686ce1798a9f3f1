"""The Node.js SDK and the tokens, tickets and links of a server that asks for credentials."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from conexiones.testing import Server
from tests.support.node import PROGRAMS, run


def test_its_own_tests_of_access(node: str, start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(tmp_path / "data", auth="required")
    environ: dict[str, Any] = {
        "CONEXIONES_ADDRESS": server.address,
        "CONEXIONES_DATA_DIR": str(server.data_dir),
    }
    files = sorted(str(path) for path in (PROGRAMS.parent / "access").glob("*.test.js"))
    run(node, "--test", "--test-timeout=600000", "--test-reporter=spec", *files, timeout=1200, **environ)
