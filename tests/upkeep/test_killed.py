"""The drill: backups of a server under load, while now the backup and now the server is killed."""

import asyncio
import json
import random
import subprocess
import sys
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path

import grpc

from conexiones.gen.conexiones.v1.images_pb2 import DeleteImageRequest
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.testing import Server
from tests.server.test_durability import Client
from tests.support.lengths import kills
from tests.support.waiting import DEADLINE, until
from tests.upkeep.folders import findings, opened, restored


class Deleter(threading.Thread):
    """Deletes some of the images of clients until `end`, and notes which it may have deleted."""

    def __init__(self, server: Server, clients: list[Client]) -> None:
        super().__init__()
        self._server = server
        self._clients = clients
        self._ended = threading.Event()
        self.deleted: set[str] = set()

    def end(self) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        chance = random.Random(7)
        with grpc.insecure_channel(self._server.address) as channel:
            images = ImageServiceStub(channel)
            while not self._ended.wait(0.01):
                known = list(self._clients[0].acknowledged.copy().keys() - self.deleted)
                if not known:
                    continue
                id = chance.choice(known)
                self.deleted.add(id)
                with suppress(grpc.RpcError):  # the server is killed now and then
                    images.DeleteImage(DeleteImageRequest(id=id), timeout=DEADLINE)


def start_backup(server: Server, dest: Path) -> "subprocess.Popen[str]":
    return start("backup", str(dest), "--json", "--keep", "2", "--data-dir", str(server.data_dir))


def start(*arguments: str) -> "subprocess.Popen[str]":
    command = (sys.executable, "-m", "conexiones", *arguments)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


async def test_all_that_was_acknowledged_before_a_backup_is_whole_in_it(
    server: Server, tmp_path: Path
) -> None:
    seed = random.randrange(1000)
    chance = random.Random(seed)
    # Writes come all the time, but not as many as there can be: a backup has to read them all.
    clients = [Client(server, number, pause=0.1) for number in range(2)]
    deleter = Deleter(server, clients)
    for thread in (*clients, deleter):
        thread.start()
    dest = tmp_path / "backups"

    def acknowledged() -> dict[str, bytes]:
        # A copy at once, as the clients go on.
        return {id: digest for client in clients for id, digest in client.acknowledged.copy().items()}

    def more(than: int) -> bool:
        return len(acknowledged()) > than

    restores = 0
    try:
        for number in range(kills()):
            await until(partial(more, len(acknowledged()) + 10))
            killed = start_backup(server, dest)
            # No event: the kill has to come at any moment of the work.
            await asyncio.sleep(chance.uniform(0, 1.2))
            if chance.random() < 0.5:
                await asyncio.to_thread(server.kill)
                killed.kill()
                await asyncio.to_thread(server.start)
            killed.kill()
            killed.communicate()
            before = acknowledged()
            running = start_backup(server, dest)
            if number % 2:
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)
            out, err = await asyncio.to_thread(running.communicate)
            assert running.returncode == 0, (seed, err)
            gone = deleter.deleted.copy()
            said = json.loads(out.splitlines()[-1])
            assert said["images"] >= len(before.keys() - gone), seed
            await check(dest, tmp_path / f"new-{number}", {k: v for k, v in before.items() if k not in gone})
            restores += 1
            # Whatever the server is just changing is no fault.
            status, found = await asyncio.to_thread(findings, server.data_dir)
            assert (status, [one for one in found if one["kind"] != "left over"]) == (0, []), seed
    finally:
        ends = [client.end for client in clients]
        for end in (*ends, deleter.end):
            await asyncio.to_thread(end)
    assert [client.failures for client in clients] == [[], []]
    assert restores == kills()
    print(f"{restores} backups of {len(acknowledged())} images, {len(deleter.deleted)} deleted; seed {seed}")


async def check(dest: Path, root: Path, expected: dict[str, bytes]) -> None:
    """A restored folder has these images, whole, and nothing that is not whole."""
    await asyncio.to_thread(restored, dest, root)
    assert (await asyncio.to_thread(findings, root))[0] == 0
    async with opened(root) as folder:
        for id, digest in expected.items():
            image = await folder.catalog.get_image(id)
            assert image, id
            assert image.digest == digest
            assert await folder.read(digest) is not None


async def test_a_restore_that_is_killed_is_gone_on_with(tmp_path: Path, server: Server) -> None:
    client = Client(server, 5)
    client.start()
    await until(lambda: len(client.acknowledged) > 24)
    client.end()
    dest, root = tmp_path / "backups", tmp_path / "new"
    backup = start_backup(server, dest)
    assert backup.wait(DEADLINE) == 0
    backup.communicate()
    chance = random.Random()
    for _ in range(kills()):
        running = start("restore", str(dest), "--data-dir", str(root))
        await asyncio.sleep(chance.uniform(0.1, 1.0))
        running.kill()
        running.communicate()
        if (root / "catalog.sqlite3").exists():
            break
    else:
        await asyncio.to_thread(restored, dest, root)
    acknowledged = dict(client.acknowledged)
    assert (await asyncio.to_thread(findings, root))[0] == 0
    async with opened(root) as folder:
        for digest in acknowledged.values():
            assert await folder.read(digest) is not None
