"""A server whose data are damaged, mixed up or gone says so, and keeps its promises."""

import shutil
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from conexiones.gen.conexiones.v1.uploads_pb2 import (
    CreateUploadRequest,
    FinishUploadRequest,
    Upload,
    WriteChunkRequest,
)
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import UploadServiceStub
from conexiones.gen.user_pb2 import GetImage, GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server
from tests.support.bitmaps import bitmap
from tests.support.failures import failure
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


UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.mark.parametrize("how", ["deleted", "replaced", "moved", "catalog deleted"])
def test_without_its_data_folder_a_server_acknowledges_nothing(
    start: Callable[..., Server], tmp_path: Path, photograph: bytes, how: str
) -> None:
    server = start(tmp_path / "data")
    small = b"".join(bitmap(50, 50))
    with grpc.insecure_channel(server.address) as channel:
        stub, uploads = UsuarioServicioStub(channel), UploadServiceStub(channel)
        stub.GetUser(GetUserRequest(name="Ana", image=small), timeout=DEADLINE)
        kept = stub.ProcessImage(GetUserRequest(image=PICTURE), timeout=DEADLINE).image_info
        statuses = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(), timeout=DEADLINE
        )
        assert next(statuses).status == health_pb2.HealthCheckResponse.SERVING
        if how == "catalog deleted":
            (server.data_dir / "catalog.sqlite3").unlink()
        elif how == "moved":
            server.data_dir.rename(tmp_path / "elsewhere")
        else:
            while server.data_dir.exists():  # the server may still create a file in it
                shutil.rmtree(server.data_dir, ignore_errors=True)
        if how == "replaced":
            server.data_dir.mkdir()
        # At once, and for good.
        for _ in range(2):
            assert failure(stub.GetUser, GetUserRequest(name="Eva", pow=3)) == UNAVAILABLE
            assert failure(stub.ProcessImage, GetUserRequest(image=small)) == UNAVAILABLE
            assert failure(stub.GetStreamImage, iter([GetImage(image=photograph)])) == UNAVAILABLE
            create = CreateUploadRequest(request_id=str(uuid.uuid4()))
            assert failure(uploads.CreateUpload, create) == UNAVAILABLE
        assert next(statuses).status == NOT_SERVING
    assert server.stop() == 0  # so that its log is all there
    said = [line for line in server.log.splitlines() if "Nothing is stored any more" in line]
    assert len(said) == 1
    assert "has gone while the server was using it" in said[0]
    assert kept.sha256


def refused(data_dir: Path) -> str:
    """The line with which a start is refused."""
    command = ("-m", "conexiones", "serve", "--address", "127.0.0.1:0", "--data-dir", str(data_dir))
    result = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert (result.returncode, result.stdout) == (1, "")
    return result.stderr


def test_a_catalog_that_was_deleted_does_not_come_back_empty(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start(tmp_path / "data")
    with grpc.insecure_channel(server.address) as channel:
        stub = UsuarioServicioStub(channel)
        stub.ProcessImage(GetUserRequest(image=PICTURE), timeout=DEADLINE)
    backup = tmp_path / "backup.sqlite3"
    with (
        closing(sqlite3.connect(server.data_dir / "catalog.sqlite3")) as source,
        closing(sqlite3.connect(backup)) as target,
    ):
        source.backup(target)
    assert server.stop() == 0
    (server.data_dir / "catalog.sqlite3").unlink()
    assert refused(server.data_dir) == (
        f"conexiones: {server.data_dir} has images, but no catalog: put catalog.sqlite3 back from a backup,"
        " or move blobs, segments and uploads away to start without them.\n"
    )
    shutil.copy(backup, server.data_dir / "catalog.sqlite3")
    server.start()
    assert server.stop() == 0


def test_a_backup_made_as_documented_starts(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(tmp_path / "data")
    small = b"".join(bitmap(50, 50))
    with grpc.insecure_channel(server.address) as channel:
        stub = UsuarioServicioStub(channel)
        for image in (PICTURE, small):
            stub.GetUser(GetUserRequest(name=f"{len(image)}", image=image), timeout=DEADLINE)
    copy = tmp_path / "copy"
    copy.mkdir()
    with (
        closing(sqlite3.connect(server.data_dir / "catalog.sqlite3")) as source,
        closing(sqlite3.connect(copy / "catalog.sqlite3")) as target,
    ):
        source.backup(target)
    for name in ("segments", "blobs"):
        shutil.copytree(server.data_dir / name, copy / name, ignore=shutil.ignore_patterns("index.*"))
    restored = start(copy)
    with grpc.insecure_channel(restored.address) as channel:
        stub = UsuarioServicioStub(channel)
        for image in (PICTURE, small):
            users = [GetUserRequest(name=f"{len(image)}")]
            (reply,) = stub.GetUserBidiStream(iter(users), timeout=DEADLINE)
            assert reply.image
