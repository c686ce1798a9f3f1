"""The shares of open uploads through a whole server: what one client leaves to others, and for how long."""

import json
import queue
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from conexiones.gen.conexiones.v1.uploads_pb2 import (
    CreateUploadRequest,
    GetUploadRequest,
    Upload,
    WriteChunkRequest,
    WriteStreamRequest,
)
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import UploadServiceStub
from conexiones.testing import Server
from tests.support.addresses import ask
from tests.support.bitmaps import bitmap
from tests.support.failures import reason
from tests.support.waiting import DEADLINE, until

CREATE = "conexiones.v1.UploadService/CreateUpload"
OTHER = "127.0.0.2"
PICTURE = b"".join(bitmap(300, 200))

Start = Callable[..., Server]


def created(uploads: UploadServiceStub, request_id: str, **fields: Any) -> Upload:
    request = CreateUploadRequest(request_id=request_id, **fields)
    return uploads.CreateUpload(request, timeout=DEADLINE).upload


def test_one_client_leaves_room_for_others_over_restarts_too(start: Start) -> None:
    server = start(max_open_uploads="8")
    with grpc.insecure_channel(server.address) as channel:
        uploads = UploadServiceStub(channel)
        for n in range(4):
            created(uploads, f"{n}")
        for restarted in (False, True):
            if restarted:
                server.stop()
                server.start()
            with pytest.raises(grpc.RpcError) as refused:
                created(uploads, "one more")
            assert reason(refused.value) == "TOO_MANY_UPLOADS"
            assert refused.value.details() == (
                "You may have 4 open uploads now, not 5: end some, or try again later."
            )
        for n in range(2):
            reply = ask(server.address, CREATE, {"requestId": f"other {n}"}, source=OTHER)
            assert reply["upload"]["state"] == "STATE_OPEN"
        reply = ask(server.address, CREATE, {"requestId": "other 2"}, source=OTHER)
        assert reply["message"] == "You may have 2 open uploads now, not 3: end some, or try again later."


def test_it_is_said_when_an_upload_expires(channel: grpc.Channel, somebody: str) -> None:
    uploads = UploadServiceStub(channel)
    upload = created(uploads, somebody)
    begun = upload.create_time.ToDatetime(UTC)
    assert upload.expire_time.ToDatetime(UTC) - begun == timedelta(minutes=10), "it has no byte"
    uploads.WriteChunk(WriteChunkRequest(upload_id=upload.id, data=PICTURE[:100]), timeout=DEADLINE)
    upload = uploads.GetUpload(GetUploadRequest(id=upload.id), timeout=DEADLINE).upload
    last = upload.update_time.ToDatetime(UTC)
    assert upload.expire_time.ToDatetime(UTC) - last == timedelta(days=1)
    assert last - datetime.now(UTC) < timedelta(minutes=1)


async def test_an_idle_upload_yields_to_who_needs_its_room(start: Start, tmp_path: Path) -> None:
    audit = tmp_path / "audit.log"
    server = start(max_open_uploads="1", upload_idle_seconds="0.1", audit_log=str(audit))
    with grpc.insecure_channel(server.address) as channel:
        uploads = UploadServiceStub(channel)
        idle = created(uploads, "idle")
        requests: queue.SimpleQueue[WriteStreamRequest | None] = queue.SimpleQueue()
        writing = uploads.WriteStream(iter(requests.get, None), timeout=DEADLINE)
        requests.put(WriteStreamRequest(upload_id=idle.id, data=PICTURE[:100]))
        acknowledged: Iterator[Any] = iter(writing)
        while next(acknowledged).committed_size < 100:
            pass

        def needed() -> bool:
            return "upload" in ask(server.address, CREATE, {"requestId": "needed"}, source=OTHER)

        await until(needed)
        with pytest.raises(grpc.RpcError) as ended:
            next(acknowledged)
        assert reason(ended.value) == "UPLOAD_ENDED"
        assert ended.value.details() == "The upload has ended: it is EXPIRED."
        requests.put(None)
        found = uploads.GetUpload(GetUploadRequest(id=idle.id), timeout=DEADLINE).upload
        assert (found.state, found.committed_size) == (Upload.STATE_EXPIRED, 100)
        await until(lambda: not (server.data_dir / "uploads" / idle.id).exists())
    await until(lambda: '"upload.expired"' in audit.read_text())
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    (expired,) = [line for line in lines if line["event"] == "upload.expired"]
    assert expired["object"] == {"kind": "upload", "id": idle.id}
    assert expired["principal"] == {"subject": "", "credential": ""}, "the server has done it by itself"
