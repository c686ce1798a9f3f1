"""kill -9 of the server under clients of both languages that upload at once: nothing acknowledged is lost."""

import asyncio
import hashlib
import json
import os
import random
import sys
from pathlib import Path

import grpc.aio

from conexiones import AsyncClient
from conexiones.gen.conexiones.v1.uploads_pb2 import CreateUploadRequest
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import UploadServiceStub
from conexiones.testing import Server
from tests.support.bitmaps import bitmap
from tests.support.lengths import kills
from tests.support.node import PROGRAMS
from tests.support.paths import ROOT
from tests.support.waiting import DEADLINE

KILLS = kills()
SEED = int(os.environ.get("CONEXIONES_SEED", "7"))
WIDTH, HEIGHT = 4000, 2500  # 30 MB


class Uploading:
    """A client's process that uploads a file; `acknowledged` is how many bytes it last said are durable."""

    def __init__(self, path: Path, command: list[str], address: str) -> None:
        self.path = path
        self.acknowledged = 0
        self._command = command
        self._environ = {**os.environ, "CONEXIONES_ADDRESS": address}

    async def run(self, seen: asyncio.Event) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._command, env=self._environ, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout
        try:
            async for line in process.stdout:
                if (done := self._bytes(line.decode())) is not None:
                    # It never goes back, over all connections and servers.
                    assert done >= self.acknowledged
                    self.acknowledged = done
                    seen.set()
            assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
            seen.set()

    def _bytes(self, line: str) -> int | None:
        """The bytes in a line of progress, in either program's form; None in the last line."""
        if line.startswith("{"):
            return json.loads(line).get("bytes")
        return int(line) if line.strip().isdecimal() else None

    def request(self) -> CreateUploadRequest | None:
        """The request of its upload, from the state file beside the image; None once that file is gone."""
        try:
            state = json.loads(self.path.with_name(f"{self.path.name}.conexiones-upload").read_text())
        except FileNotFoundError:
            return None
        return CreateUploadRequest(
            request_id=state["request_id"], user=state["user"], size_bytes=state["size"], name=state["name"]
        )


async def test_nothing_acknowledged_is_lost(node: str, server: Server, tmp_path: Path) -> None:
    programs = {
        "python": [sys.executable, str(ROOT / "tests" / "sdk" / "transfer.py"), "put", server.address],
        "node": [node, str(PROGRAMS / "move.js"), "put"],
    }
    uploading = []
    for number in range(4):
        language = ("python", "node")[number % 2]
        path = tmp_path / f"{language} {number}.bmp"
        path.write_bytes(b"".join(bitmap(WIDTH, HEIGHT, seed=number)))
        rest = [str(path)] if language == "python" else [str(path), "resume"]
        uploading.append(Uploading(path, programs[language] + rest, server.address))
    seen = asyncio.Event()
    seeded = random.Random(SEED)
    looked_at = 0
    async with asyncio.timeout(5 * DEADLINE), asyncio.TaskGroup() as clients:
        running = [clients.create_task(one.run(seen)) for one in uploading]
        total = sum(one.path.stat().st_size for one in uploading)
        # A client that meets no server at its first call takes the address for wrong, and ends.
        while not all(one.acknowledged or task.done() for one, task in zip(uploading, running, strict=True)):
            seen.clear()
            await seen.wait()
        # Each kill falls into its own part of the whole, at any point of that part.
        for part in range(KILLS):
            least = total * (part + seeded.random()) / KILLS
            while sum(one.acknowledged for one in uploading) < least and not all(
                map(asyncio.Task.done, running)
            ):
                seen.clear()
                await seen.wait()
            await asyncio.to_thread(server.kill)
            promised = [(one.request(), one.acknowledged) for one in uploading]
            await asyncio.to_thread(server.start)
            looked_at += await kept(server, promised)
    assert looked_at
    async with AsyncClient(server.address) as client:
        images = {image.sha256: image async for image in client.images()}
        for one in uploading:
            content = one.path.read_bytes()
            assert images[hashlib.sha256(content).digest()].size_bytes == len(content)
    assert len(images) == len(uploading)
    print(f"seed {SEED}: {KILLS} kills, {looked_at} uploads looked at in between, no acknowledged byte lost")


async def kept(server: Server, promised: list[tuple[CreateUploadRequest | None, int]]) -> int:
    """Asserts that the server has all that was acknowledged of each open upload. Gives their number."""
    count = 0
    async with grpc.aio.insecure_channel(server.address) as channel:
        uploads = UploadServiceStub(channel)
        for request, acknowledged in promised:
            if request is None:
                continue
            upload = (await uploads.CreateUpload(request, timeout=DEADLINE, wait_for_ready=True)).upload
            assert upload.committed_size >= acknowledged
            count += acknowledged > 0
    return count
