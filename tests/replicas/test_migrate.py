"""`conexiones migrate`: a house that has moved is the same house, for whoever comes back to it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from conexiones import Client
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import UploadServiceStub
from conexiones.testing import Server, ServerError
from tests.folders import owned
from tests.folders.made import HERE, UNFINISHED, events, newest_token, shown
from tests.folders.test_folders import finished, unpacked
from tests.replicas.conftest import Replica
from tests.replicas.houses import House, ran, raw, refused, rows
from tests.support.postgres import Engine
from tests.upkeep.folders import findings


@pytest.fixture
def state() -> dict[str, Any]:
    """What the server showed that wrote the folder."""
    found: dict[str, Any] = json.loads((HERE / "folder-4.json").read_text())
    return found


class Compared:
    """What a server shows of the folder, wherever that has moved to."""

    def __init__(self, state: dict[str, Any]) -> None:
        self._names = list(state["users"])
        self._uploads = {name: upload["id"] for name, upload in state["uploads"].items()}
        self._tokens = [token for token, _, _ in state["events"]]

    def shown(self, server: Server) -> dict[str, Any]:
        with Client(server.address) as client, grpc.insecure_channel(server.address) as channel:
            found = shown(client, channel, names=self._names, uploads=self._uploads)
            found["goes on"] = [
                events(client, after=seen, until=newest_token(channel)) for seen in self._tokens[::7]
            ]
            return found


def test_a_house_is_the_same_in_a_database_and_in_a_folder_again(
    state: dict[str, Any],
    tmp_path: Path,
    start: Callable[..., Server],
    replica: Replica,
    house: House,
    postgres: Engine,
) -> None:
    data = unpacked(4, tmp_path)
    compared = Compared(state)
    there = ("--from", data, "--to", *house.places, *house.options)
    with start(data) as embedded:
        before = compared.shown(embedded)
        assert "is in use" in refused(*there)
    left = raw(data)
    said = ran(*there)
    assert (said["complete"], said["damaged"]) == (True, 0)
    assert raw(data) == left
    server = replica(auth="none")
    assert compared.shown(server) == before
    assert "is served" in refused("--from", *house.places, "--to", tmp_path / "back", *house.options)
    server.stop()

    # And back: what was stored meanwhile comes along.
    left_rows = rows(postgres, house.database)
    environ = {"CONEXIONES_DATABASE": house.database, "CONEXIONES_BLOBS": house.blobs}
    said = ran("--to", tmp_path / "back", *house.options, **environ)
    assert (said["complete"], said["damaged"]) == (True, 0)
    assert rows(postgres, house.database) == left_rows
    shutil.copy(data / "admin-token", tmp_path / "back")
    with start(tmp_path / "back") as embedded:
        assert compared.shown(embedded) == before
        with grpc.insecure_channel(embedded.address) as channel:
            upload = state["uploads"]["open"]
            image = finished(UploadServiceStub(channel), upload["id"], upload["name"]).image
        with Client(embedded.address) as client:
            assert client.download(image.id) == UNFINISHED
    owned.check(start(tmp_path / "back", auth="required"), state["owned"])
    assert findings(tmp_path / "back")[0] == 0


def test_no_server_starts_over_a_folder_that_is_not_complete(
    tmp_path: Path, start: Callable[..., Server]
) -> None:
    (tmp_path / "migrating.json").write_text("{}")
    with pytest.raises(ServerError, match="is not complete: conexiones migrate was interrupted there"):
        start(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.name != "lock"] == ["migrating.json"]
