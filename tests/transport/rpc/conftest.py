"""A server for what the transport does by itself, with handlers that are the tests' own."""

import os
from collections.abc import Iterator

import pytest

from conexiones.testing import Server
from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """tests.transport.rpc.served. What it logs must be without a traceback at the end."""
    data = tmp_path_factory.mktemp("served") / "data"
    settings = {"max_message_bytes": "1MiB", "message_budget": "3MiB", "stall_seconds": "0.5"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'src'}")
        with Server(data, settings, ["-m", "tests.transport.rpc.served"]) as server:
            server.start()
            yield server
