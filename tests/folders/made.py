"""Makes a data folder for the tests, and says what a server shows of one.

`python -m tests.folders.made NUMBER` starts a real server, fills it through the SDK and plain gRPC calls, and
writes two files beside this one: `folder-NUMBER.tar.xz`, the data folder after the server has ended, and
`folder-NUMBER.json`, what the server showed of it before. Both are committed and never made again: they stand
for the version that wrote them. A version that changes what is on the disk adds a folder of the next number.
"""

import hashlib
import json
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import grpc

from conexiones import Client
from conexiones.gen.conexiones.v1.images_pb2 import WatchImagesRequest
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.gen.conexiones.v1.uploads_pb2 import (
    CreateUploadRequest,
    FinishUploadRequest,
    WriteChunkRequest,
)
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import UploadServiceStub
from conexiones.samples import samples
from conexiones.sdk.results import Deleted, Event, Facts, Image, Resync, Upload
from conexiones.testing import serve
from tests.folders import owned as owned_things
from tests.support.bitmaps import bitmap
from tests.support.waiting import DEADLINE

HERE = Path(__file__).parent

# More than 256 KiB each, so that they are files of their own. Their bytes repeat, so that they pack well.
LARGE = b"".join(bitmap(800, 600))  # more than a MiB, so that it has checksums by block
FINISHED = b"".join(bitmap(350, 300, seed=2))
UNFINISHED = b"".join(bitmap(500, 300, seed=1))

COMMITTED = 300_000
"""Bytes of UNFINISHED that the open upload has committed."""

FROM_THE_START = "0"
"""The resume token before the first event."""


def fill(address: str) -> dict[str, str]:
    """Gives a new server users, images and uploads, and gives the ids of the uploads."""
    small = {sample.name: sample.data for sample in samples()}
    with Client(address) as client, grpc.insecure_channel(address) as channel:
        client.get_user("ana", 3, small.pop("photo.jpg"))
        client.get_user("Ñandú 🦤", -7, small.pop("transparent.png"))
        client.get_user("sin imagen", 12)
        for data in small.values():
            client.process_image(data)
        twin = client.upload(small["scan.tif"], user="eva", name="Escáner.TIF")  # the bytes of another image
        deleted = client.process_image(small["scan.tif"])
        client.delete(deleted.image.id)
        client.stream_image(LARGE)
        uploads = UploadServiceStub(channel)
        begun = {
            "ready": _begin(uploads, "ready", FINISHED),
            "rejected": _begin(uploads, "rejected", LARGE[:2000]),
            "cancelled": _begin(uploads, "cancelled", LARGE[:1000]),
            "open": _begin(uploads, "open", UNFINISHED[:COMMITTED], size=len(UNFINISHED)),
        }
        for name, size in {"ready": len(FINISHED), "rejected": 2000}.items():
            uploads.FinishUpload(FinishUploadRequest(id=begun[name], size_bytes=size), timeout=DEADLINE)
        client.cancel_upload(begun["cancelled"])
        assert twin.id in described(client), "its bytes were known, and so were its facts"
        return begun


def described(client: Client) -> set[str]:
    """The ids of all images, once all of them have been described."""
    wanted = {image.id for image in client.images()}
    found: set[str] = set()
    for event in client.watch(resume_token=FROM_THE_START):
        if not isinstance(event, Deleted | Resync) and event.image.facts:
            found.add(event.image.id)
        if wanted <= found:
            break
    return found


def _begin(uploads: UploadServiceStub, request_id: str, data: bytes, *, size: int | None = None) -> str:
    """Begins an upload and commits some bytes; gives its id."""
    name = f"{request_id} ñ.bmp"
    create = CreateUploadRequest(request_id=request_id, user="ana", size_bytes=size, name=name)
    upload = uploads.CreateUpload(create, timeout=DEADLINE).upload
    chunk = WriteChunkRequest(upload_id=upload.id, data=data)
    assert uploads.WriteChunk(chunk, timeout=DEADLINE).committed_size == len(data)
    return upload.id


def shown(
    client: Client, channel: grpc.Channel, *, names: list[str], uploads: dict[str, str]
) -> dict[str, Any]:
    """What a server shows of users, images, uploads and events, as JSON has it. Of every image all bytes are
    read."""
    images = list(client.images())
    return {
        "users": {name: _user(client, name) for name in names},
        "images": [{**_image(image), "bytes": _hash(client.download(image.id))} for image in images],
        "uploads": {name: _upload(client, id) for name, id in uploads.items()},
        "events": events(client, after=FROM_THE_START, until=newest_token(channel)),
    }


def _user(client: Client, name: str) -> dict[str, Any]:
    user = client.get_user(name).user  # with neither pow nor image it changes nothing
    return {
        "pow": user.pow,
        "image_id": user.image_id,
        "create_time": user.create_time.isoformat(),
        "update_time": user.update_time.isoformat(),
    }


def _image(image: Image) -> dict[str, Any]:
    facts = image.facts
    return {
        "id": image.id,
        "sha256": image.sha256.hex(),
        "size": image.size_bytes,
        "format": image.format,
        "width": image.width,
        "height": image.height,
        "frames": image.frames,
        "user": image.user,
        "create_time": image.create_time.isoformat(),
        "facts": {name: getattr(facts, name) for name in Facts.__slots__} if facts else None,
        **_name(image),
    }


def _upload(client: Client, id: str) -> dict[str, Any]:
    upload = client.get_upload(id)
    return {
        "id": id,
        "state": upload.state.name,
        "committed_size": upload.committed_size,
        "declared_size": upload.size_bytes,
        "writer_epoch": upload.writer_epoch,
        "user": upload.user,
        "image_id": upload.image.id if upload.image else "",
        "failure": upload.failure.reason if upload.failure else "",
        **_name(upload),
    }


def _name(named: Image | Upload) -> dict[str, str]:
    """Nothing where there is no name, as in folders of versions that knew none."""
    return {"name": named.name} if named.name else {}


def newest_token(channel: grpc.Channel) -> str:
    """The resume token after the newest event: a server says it first of all to whoever watches."""
    watching = ImageServiceStub(channel).WatchImages(WatchImagesRequest(), timeout=DEADLINE)
    token: str = next(watching).resume_token
    watching.cancel()
    return token


def events(client: Client, *, after: str, until: str) -> list[list[str]]:
    """The events after one token, until another: of each its own token, its kind, and the id of the image."""
    found: list[list[str]] = []
    if after != until:
        for event in client.watch(resume_token=after):
            found.append(_event(event))
            if event.token == until:
                break
    return found


def _event(event: Event) -> list[str]:
    if isinstance(event, Resync):
        return [event.token, "Resync", ""]
    return [event.token, type(event).__name__, event.id if isinstance(event, Deleted) else event.image.id]


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def main() -> None:
    number = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        with serve(data_dir) as server:
            uploads = fill(server.address)
        with serve(data_dir, auth="required") as server:
            owned = owned_things.fill(server)
        with (
            serve(data_dir) as server,
            Client(server.address) as client,
            grpc.insecure_channel(server.address) as channel,
        ):
            described(client)
            state = shown(client, channel, names=["ana", "Ñandú 🦤", "sin imagen"], uploads=uploads)
        state["owned"] = owned
        with tarfile.open(HERE / f"folder-{number}.tar.xz", "x:xz", preset=9) as archive:
            archive.add(data_dir, "data")
    (HERE / f"folder-{number}.json").write_text(json.dumps(state, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
