"""A data folder that an earlier version wrote opens, migrates and reads the same, in every later version."""

import json
import sqlite3
import tarfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest

from conexiones import Client
from conexiones.gen.conexiones.v1.uploads_pb2 import (
    CreateUploadRequest,
    FinishUploadRequest,
    Upload,
    WriteChunkRequest,
)
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import UploadServiceStub
from conexiones.testing import Server
from tests.folders.made import COMMITTED, HERE, UNFINISHED, events, newest_token, shown
from tests.support.waiting import DEADLINE

NUMBERS = [1, 2, 3]


def unpacked(number: int, into: Path) -> Path:
    """A data folder of that number, as if its server had ended a moment ago."""
    with tarfile.open(HERE / f"folder-{number}.tar.xz") as archive:
        archive.extractall(into, filter="data")
    # Open uploads expire a day after their last byte, and ended ones are forgotten a day later.
    now = time.time_ns() // 1000
    with closing(sqlite3.connect(into / "data" / "catalog.sqlite3")) as connection:
        connection.execute("UPDATE uploads SET create_time = ?, update_time = ?", (now, now))
        connection.commit()
    return into / "data"


@pytest.mark.parametrize("number", NUMBERS)
def test_a_folder_reads_the_same_and_goes_on(
    number: int, tmp_path: Path, start: Callable[..., Server]
) -> None:
    state = json.loads((HERE / f"folder-{number}.json").read_text())
    uploads = {name: upload["id"] for name, upload in state["uploads"].items()}
    # What that version could not decode, this one may: then it describes it anew after its start.
    again = {image["id"] for image in state["images"] if image["facts"]["problem"] == "UNSUPPORTED"}

    def old(found: list[list[str]]) -> list[list[str]]:
        return [event for event in found if event[1] != "Described" or event[2] not in again]

    def lasting(shown: dict[str, Any]) -> dict[str, Any]:
        images = [{**image, "facts": None} if image["id"] in again else image for image in shown["images"]]
        return {**shown, "images": images, "events": old(shown["events"])}

    server = start(unpacked(number, tmp_path))
    for restarted in (False, True):
        if restarted:
            server.stop()
            server.start()
        with Client(server.address) as client, grpc.insecure_channel(server.address) as channel:
            found = shown(client, channel, names=list(state["users"]), uploads=uploads)
            assert lasting(found) == lasting(state)
            # Whoever watched the earlier version goes on after the last event that they saw.
            tokens = [token for token, _, _ in state["events"]]
            for seen in (tokens[0], tokens[-2], tokens[-1]):
                left = state["events"][tokens.index(seen) + 1 :]
                assert old(events(client, after=seen, until=newest_token(channel))) == old(left)
    with Client(server.address) as client, grpc.insecure_channel(server.address) as channel:
        upload = state["uploads"]["open"]
        image = finished(UploadServiceStub(channel), upload["id"], upload.get("name", "")).image
        assert image.name == upload.get("name", "")
        image_id = image.id
        assert client.download(image_id) == UNFINISHED
        (stored, *_) = old(events(client, after=tokens[-1], until=newest_token(channel)))
        assert stored[1:] == ["Stored", image_id]
        assert int(tokens[-1]) < int(stored[0]) <= int(tokens[-1]) + 1 + len(again)


def finished(uploads: UploadServiceStub, open_upload: str, name: str) -> Upload:
    """Goes on with the open upload, as the client that began it would, and finishes it."""
    create = CreateUploadRequest(request_id="open", user="ana", size_bytes=len(UNFINISHED), name=name)
    assert uploads.CreateUpload(create, timeout=DEADLINE).upload.id == open_upload
    rest = WriteChunkRequest(upload_id=open_upload, offset=COMMITTED, data=UNFINISHED[COMMITTED:])
    assert uploads.WriteChunk(rest, timeout=DEADLINE).committed_size == len(UNFINISHED)
    finish = FinishUploadRequest(id=open_upload, size_bytes=len(UNFINISHED))
    return uploads.FinishUpload(finish, timeout=DEADLINE).upload
