"""Acknowledged means durable: killed servers, full disks."""

import asyncio
import hashlib
import itertools
import os
import random
import subprocess
import threading
from functools import partial
from pathlib import Path

import grpc
import pytest

from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.gen.user_pb2 import GetImage, GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server
from tests.adapters.stored import stored_blobs
from tests.support.bitmaps import bitmap
from tests.support.failures import failure
from tests.support.lengths import kills
from tests.support.processes import writers
from tests.support.waiting import DEADLINE, until

KILLS = kills()


class Client(threading.Thread):
    """Sends images of several sizes by several calls until `end`, and notes what was acknowledged. It rests
    for `pause` seconds after each round."""

    def __init__(self, server: Server, number: int, *, pause: float = 0) -> None:
        super().__init__()
        self._server = server
        self._number = number
        self._seeds = itertools.count(number * 1000)
        self._pause = pause
        self._ended = threading.Event()
        self.acknowledged: dict[str, bytes] = {}
        self.failures: list[grpc.RpcError] = []

    def end(self) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        backoff = [(f"grpc.{kind}_reconnect_backoff_ms", 100) for kind in ("initial", "min", "max")]
        options = [("grpc.use_local_subchannel_pool", 1), *backoff]
        with grpc.insecure_channel(self._server.address, options=options) as channel:
            stub = UsuarioServicioStub(channel)
            while not self._ended.wait(self._pause):
                try:
                    self._work(stub)
                except grpc.RpcError as error:
                    # A kill looks like one of these two to a client, and like nothing else.
                    if error.code() not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}:
                        self.failures.append(error)

    def _work(self, stub: UsuarioServicioStub) -> None:
        image = self._image(40, 30)
        user = GetUserRequest(name=f"user {self._number}", pow=self._number, image=image)
        self._note(stub.GetUser(user, timeout=DEADLINE).image_info, image)
        image = self._image(900, 700)
        fragments = (GetImage(image=image[at : at + 65536]) for at in range(0, len(image), 65536))
        self._note(stub.GetStreamImage(fragments, timeout=DEADLINE).image_info, image)
        images = [self._image(50, 40 + number) for number in range(10)]
        replies = stub.ImageStreamReply((GetImage(image=one) for one in images), timeout=DEADLINE)
        for reply, one in zip(replies, images, strict=True):
            self._note(reply.image_info, one)

    def _image(self, width: int, height: int) -> bytes:
        return b"".join(bitmap(width, height, seed=next(self._seeds))) + os.urandom(16)

    def _note(self, info, image: bytes) -> None:
        assert info.sha256 == hashlib.sha256(image).digest()
        self.acknowledged[info.id] = info.sha256


async def stored(data_dir: Path) -> tuple[SqliteCatalog, LocalStore]:
    catalog = SqliteCatalog(data_dir / "catalog.sqlite3")
    store = LocalStore(data_dir, catalog)
    await catalog.open()
    await store.open()
    return catalog, store


async def whole(catalog: SqliteCatalog, store: LocalStore, image_id: str, digest: bytes) -> bool:
    image = await catalog.get_image(image_id)
    assert image
    assert image.digest == digest
    content = hashlib.sha256()
    async for piece in store.blobs.read(digest):
        content.update(piece)
    return content.digest() == digest


@pytest.mark.parametrize("killed", ["server", "catalog's writer"])
async def test_nothing_acknowledged_is_lost_by_a_kill(server: Server, killed: str) -> None:
    chance = random.Random(20)
    clients = [Client(server, number) for number in range(4)]
    for client in clients:
        client.start()

    def count() -> int:
        return sum(len(client.acknowledged) for client in clients)

    def reached(enough: int) -> bool:
        return count() >= enough

    try:
        for _ in range(KILLS):
            enough = count() + 10
            await until(partial(reached, enough))
            # No event: the kill has to come at any moment of the clients' work.
            await asyncio.sleep(chance.uniform(0, 0.3))
            if killed == "server":
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)
            else:
                # The one that follows the last one which was killed may still be on its way.
                await until(lambda: writers(server.pid))
                writers(server.pid)[0].kill()
    finally:
        for client in clients:
            await asyncio.to_thread(client.end)
    assert [client.failures for client in clients] == [[]] * len(clients)
    acknowledged = {key: value for client in clients for key, value in client.acknowledged.items()}
    assert len(acknowledged) >= KILLS * 10
    server.kill()

    catalog, store = await stored(server.data_dir)
    try:
        for image_id, digest in acknowledged.items():
            assert await whole(catalog, store, image_id, digest)
        assert list((server.data_dir / "incoming").iterdir()) == []
        # No blob is left that the catalog does not know.
        for blob in stored_blobs(server.data_dir):
            assert await catalog.has_digest(bytes.fromhex(blob))
    finally:
        await store.close()
        await catalog.close()
    print(f"{len(acknowledged)} images acknowledged over {KILLS} kills, none lost")


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 24 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        assert os.environ.get("CI") != "true", "CI must be able to mount a tmpfs"
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_an_error_and_the_server_lives(start, small_disk: Path, photograph: bytes) -> None:
    server = start(small_disk / "data")
    full = (grpc.StatusCode.RESOURCE_EXHAUSTED, "STORAGE_FULL")
    with grpc.insecure_channel(server.address) as channel:
        stub = UsuarioServicioStub(channel)
        kept = stub.ProcessImage(GetUserRequest(image=photograph), timeout=DEADLINE).image_info
        for seed in range(3):
            # 40 MB do not fit, and the space of what had come of them is freed.
            assert failure(stub.GetStreamImage, map(_fragment, bitmap(4000, 3400))) == full
            image = b"".join(bitmap(1400, 1400, seed=seed))  # 6 MB fit, three times
            reply = stub.GetStreamImage(iter([GetImage(image=image)]), timeout=DEADLINE)
            assert reply.image_info.sha256 == hashlib.sha256(image).digest()
        # Now the disk is filled to its last byte, so that the catalog finds no room either.
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        seen = set()
        for number in range(60):
            try:
                stub.GetUser(GetUserRequest(name="u" * 200 + str(number), pow=1), timeout=DEADLINE)
            except grpc.RpcError as error:
                seen.add(error.code())
        assert seen == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert failure(stub.ProcessImage, GetUserRequest(image=b"".join(bitmap(100, 100)))) == full
        filler.unlink()
        again = stub.ProcessImage(GetUserRequest(image=b"".join(bitmap(100, 100))), timeout=DEADLINE)
        assert again.image_info.format == "BMP"
        assert stub.GetUser(GetUserRequest(name="Ana", pow=2), timeout=DEADLINE).user.pow_squared == 4
    assert stored_blobs(server.data_dir)[kept.sha256.hex()] == len(photograph)
    assert list((server.data_dir / "incoming").iterdir()) == []
    assert server.stop() == 0


def _fragment(piece: bytes) -> GetImage:
    return GetImage(image=piece)
