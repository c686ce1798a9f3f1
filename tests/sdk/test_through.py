"""A connection through a recorder, as --wire makes it."""

from pathlib import Path

import pytest

from conexiones import AsyncClient
from conexiones.sdk import Unreachable


@pytest.mark.parametrize("name", ["wire", "with spaces/wire"])
async def test_an_error_names_the_server_and_not_the_socket(tmp_path: Path, name: str) -> None:
    async with AsyncClient("127.0.0.1:1", timeout=2) as client:
        client._connection.through = str(tmp_path / name)
        with pytest.raises(Unreachable, match=r"^No server answers at 127\.0\.0\.1:1: ") as caught:
            await client.get_user("Ana")
    assert "unix" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)
