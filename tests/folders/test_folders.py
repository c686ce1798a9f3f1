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
from conexiones.sdk.results import Described
from conexiones.testing import Server
from tests.folders import owned
from tests.folders.made import COMMITTED, HERE, UNFINISHED, events, newest_token, shown
from tests.support.waiting import DEADLINE

NUMBERS = [1, 2, 3, 4]


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
    state.pop("owned", None)  # another test's
    uploads = {name: upload["id"] for name, upload in state["uploads"].items()}
    again = {image["id"] for image in state["images"] if said_otherwise(image)}

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


def said_otherwise(image: dict[str, Any]) -> bool:
    """Whether this version finds other facts of an image, some time after its start: it decodes more, and
    knows which GIFs are transparent."""
    return image["facts"]["problem"] == "UNSUPPORTED" or image["format"] == "GIF"


def test_what_an_earlier_version_said_is_corrected_after_the_start(
    tmp_path: Path, start: Callable[..., Server]
) -> None:
    """Of all images of the folder the size was read as if nothing were turned, and none could be decoded."""
    data_dir = unpacked(3, tmp_path)
    with closing(sqlite3.connect(data_dir / "catalog.sqlite3")) as connection:
        connection.execute("UPDATE images SET width = height, height = width, frames = 9")
        connection.execute("UPDATE facts SET problem = 'CORRUPT', color_space = '', blur_hash = ''")
        connection.commit()
    state = json.loads((HERE / "folder-3.json").read_text())
    uploads = {name: upload["id"] for name, upload in state["uploads"].items()}
    left = {image["id"] for image in state["images"]}
    server = start(data_dir)
    with Client(server.address) as client, grpc.insecure_channel(server.address) as channel:
        last, *_ = reversed(state["events"])
        for event in client.watch(resume_token=last[0]):
            assert isinstance(event, Described)
            left -= {event.image.id}
            if not left:
                break
        again = shown(client, channel, names=list(state["users"]), uploads=uploads)
    assert again["users"] == state["users"]
    for found, before in zip(again["images"], state["images"], strict=True):
        if said_otherwise(before):
            assert found.pop("facts")["problem"] == ""
            del before["facts"]
        assert found == before


@pytest.mark.parametrize("number", NUMBERS)
def test_owners_have_what_they_had(number: int, tmp_path: Path, start: Callable[..., Server]) -> None:
    state = json.loads((HERE / f"folder-{number}.json").read_text())
    server = start(unpacked(number, tmp_path), auth="required")
    if "owned" in state:
        owned.check(server, state["owned"])
        server.stop()
        server.start()
    owned.belongs_to_nobody(server, {image["id"] for image in state["images"]}, list(state["users"]))


def finished(uploads: UploadServiceStub, open_upload: str, name: str) -> Upload:
    """Goes on with the open upload, as the client that began it would, and finishes it."""
    create = CreateUploadRequest(request_id="open", user="ana", size_bytes=len(UNFINISHED), name=name)
    assert uploads.CreateUpload(create, timeout=DEADLINE).upload.id == open_upload
    rest = WriteChunkRequest(upload_id=open_upload, offset=COMMITTED, data=UNFINISHED[COMMITTED:])
    assert uploads.WriteChunk(rest, timeout=DEADLINE).committed_size == len(UNFINISHED)
    finish = FinishUploadRequest(id=open_upload, size_bytes=len(UNFINISHED))
    return uploads.FinishUpload(finish, timeout=DEADLINE).upload
