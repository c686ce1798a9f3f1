"""A server whose data are damaged, mixed up or gone says so, and keeps its promises."""

import uuid

import grpc
import pytest

from conexiones.gen.conexiones.v1.uploads_pb2 import (
    CreateUploadRequest,
    FinishUploadRequest,
    Upload,
    WriteChunkRequest,
)
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import UploadServiceStub
from conexiones.testing import Server
from tests.support.bitmaps import bitmap
from tests.support.waiting import DEADLINE

MIB = 1 << 20
PICTURE = b"".join(bitmap(1000, 700))  # 2.1 MB


def sent(uploads: UploadServiceStub) -> str:
    """The id of an upload of which all bytes are committed."""
    create = CreateUploadRequest(request_id=str(uuid.uuid4()))
    upload = uploads.CreateUpload(create, timeout=DEADLINE).upload
    chunk = WriteChunkRequest(upload_id=upload.id, data=PICTURE)
    assert uploads.WriteChunk(chunk, timeout=DEADLINE).committed_size == len(PICTURE)
    return upload.id


def finished(uploads: UploadServiceStub, upload_id: str) -> Upload:
    """Without a SHA-256."""
    finish = FinishUploadRequest(id=upload_id, size_bytes=len(PICTURE))
    return uploads.FinishUpload(finish, timeout=DEADLINE).upload


@pytest.mark.parametrize("restarted", [False, True])
def test_bytes_that_changed_on_the_disk_never_become_an_image(server: Server, restarted: bool) -> None:
    with grpc.insecure_channel(server.address) as channel:
        upload = sent(UploadServiceStub(channel))
    with (server.data_dir / "uploads" / upload).open("r+b") as file:
        file.seek(MIB)
        file.write(b"damaged")
    if restarted:
        server.stop()
        server.start()
    with grpc.insecure_channel(server.address) as channel:
        uploads = UploadServiceStub(channel)
        for _ in range(2):
            ended = finished(uploads, upload)
            assert (ended.state, ended.failure.reason) == (Upload.STATE_FAILED, "BLOB_CORRUPT")
        assert finished(uploads, sent(uploads)).state == Upload.STATE_READY
    assert list((server.data_dir / "uploads").iterdir()) == []
    assert f"{upload} is damaged in the MiB from byte {MIB} on" in server.log
