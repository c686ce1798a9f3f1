"""A shell in an empty folder, with the shared server."""

from pathlib import Path

import pytest

from conexiones.testing import Server
from tests.commands.shell import Shell


@pytest.fixture
def shell(shared: Server, tmp_path: Path) -> Shell:
    return Shell(tmp_path, shared.address)
