"""A running server finds damage by itself, says so once, and serves none of it on any path."""

import asyncio
import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

import grpc
import pytest

from conexiones import Client
from conexiones.adapters.catalog.sqlite.migrations import newest
from conexiones.adapters.scrub import file as scrub_file
from conexiones.errors import BlobCorrupt
from conexiones.gen.conexiones.v1.status_pb2 import GetStatusRequest
from conexiones.gen.conexiones.v1.status_pb2_grpc import StatusServiceStub
from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.sdk import Rendition
from conexiones.testing import Server
from tests.support.bitmaps import bitmap
from tests.support.waiting import DEADLINE, until
from tests.upkeep.folders import blob, damage, findings

CUT_OFF = (0, b"")
"""Of a reply that had begun when the damage was found."""

ROUND = "0.00001"
"""Days: about a second."""


async def test_damage_is_found_said_once_and_never_served(
    start: Callable[..., Server], photograph: bytes
) -> None:
    server = start(scrub_days=ROUND)
    large, small = b"".join(bitmap(900, 800)), b"".join(bitmap(60, 50))
    with Client(server.address) as client:
        images = {data: client.upload(data).id for data in (large, small, photograph)}
        damage(blob(server.data_dir, large), len(large) - 1000)
        segment = server.data_dir / "segments" / "00000000"
        damage(segment, segment.read_bytes().index(small) + 200)
        await until(lambda: found(client) == 2)
        finished = client.status().verification
        assert finished
        await until(lambda: later(client, finished.last_finish_time))
        for data in (large, small):
            with pytest.raises(BlobCorrupt):
                client.download(images[data])
            with pytest.raises(BlobCorrupt):
                client.download(images[data], rendition=Rendition(width=16))
            assert http(server, f"/images/{images[data]}?width=20") == (500, b"BLOB_CORRUPT")
            assert http(server, f"/images/{images[data]}") in {(500, b"BLOB_CORRUPT"), CUT_OFF}
        with pytest.raises(BlobCorrupt):
            client.download(images[large], offset=len(large) - 2000)
        assert client.download(images[large], limit=1000) == large[:1000], "what is whole of it is served"
        assert client.download(images[photograph]) == photograph
        assert [one["what"] for one in findings(server.data_dir)[1]] == [
            f"image {images[small]}",
            f"image {images[large]}",
        ]
        # The same bytes take the place of the damaged ones.
        client.upload(large)
        client.delete(images[small])
        await until(lambda: found(client) == 0)
        assert client.download(images[large]) == large
    server.stop()
    for data in (large, small):
        said = [line for line in server.log.splitlines() if f"The image {images[data]} is damaged" in line]
        assert len(said) == 1
        digest = hashlib.sha256(data).hexdigest()
        assert digest in said[0]
        assert "ERROR" in said[0]
        refused = server.log.count(f"The damaged bytes are those with the SHA-256 {digest}.")
        assert refused >= 4, "each call that was refused has a record that says for which bytes"


def found(client: Client) -> int:
    verification = client.status().verification
    return verification.damaged_images if verification else -1


def later(client: Client, time: object) -> bool:
    verification = client.status().verification
    return verification is not None and verification.last_finish_time != time


def written(server: Server) -> bool:
    """Whether the end of a round is on the disk."""
    state = scrub_file.read(server.data_dir / scrub_file.NAME)
    return state is not None and bool(state.finished.finish_time)


def http(server: Server, path: str) -> tuple[int, bytes]:
    """The status, and the bytes, or the reason of a refusal."""
    try:
        with urllib.request.urlopen(f"http://{server.address}{path}", timeout=DEADLINE) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        body = error.read()
        return error.code, b"BLOB_CORRUPT" if b"BLOB_CORRUPT" in body else body
    except (OSError, HTTPException):
        return CUT_OFF


async def test_a_preview_is_not_made_of_damaged_bytes(
    start: Callable[..., Server], photograph: bytes
) -> None:
    server = start(scrub_days=0)
    big = b"".join(bitmap(900, 800, seed=3))
    with grpc.insecure_channel(server.address) as channel:
        stub = UsuarioServicioStub(channel)
        stub.GetUser(GetUserRequest(name="Ana", image=big), timeout=DEADLINE)
        damage(blob(server.data_dir, big), len(big) - 1000)
        asked = iter([GetUserRequest(name="Ana"), GetUserRequest(name="Eva", image=photograph)])
        damaged, whole = stub.GetUserBidiStream(asked, timeout=DEADLINE)
        assert not damaged.image
        assert [error.reason for error in damaged.errors] == ["BLOB_CORRUPT"]
        assert whole.image, "the stream goes on"
        status = StatusServiceStub(channel).GetStatus(GetStatusRequest(), timeout=DEADLINE)
        assert (status.schema_version, status.build) == (newest(), "")
        assert not status.verification.HasField("last_finish_time"), "it is turned off"


async def test_the_state_of_a_round_outlives_the_server(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(tmp_path / "data", scrub_days="3650")
    with Client(server.address) as client:
        client.upload(b"".join(bitmap(60, 50)))
        # It is told of before it is written down, and on a busy disk that takes a while.
        await until(lambda: written(server))
        before = client.status().verification
    await asyncio.to_thread(server.kill)
    server.start()
    with Client(server.address) as client:
        await until(lambda: later(client, None))
        assert client.status().verification == before
