"""A server for what the transport does by itself, with handlers that are the tests' own."""

from collections.abc import Iterator

import pytest

from conexiones.testing import Server
from tests.transport.application import serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """tests.transport.rpc.served, with limits that small messages reach: the budget is for one message."""
    data = tmp_path_factory.mktemp("served") / "data"
    # Clients that do go on have to do so within the time after which others have stalled.
    settings = {"max_message_bytes": "1MiB", "message_budget": "3MiB", "stall_seconds": "2"}
    with serving("tests.transport.rpc.served", data, **settings) as server:
        yield server
