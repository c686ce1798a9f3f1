"""Many seeded runs of both SDKs over a bad network: each ends with the very bytes, or with a clear error.

CONEXIONES_FAULT_RUNS sets how many of each (10), CONEXIONES_FAULT_SEED the first seed (0). `make faults` runs
hundreds.
"""

import asyncio
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from conexiones import AsyncClient
from conexiones.errors import ConexionesError
from conexiones.sdk import ConnectionLost, NoProgress, backoff, http_body
from conexiones.testing import Server
from tests.sdk.proxy import Fault, Proxy
from tests.support.bitmaps import bitmap
from tests.support.node import PROGRAMS

RUNS = int(os.environ.get("CONEXIONES_FAULT_RUNS", "10"))
FIRST = int(os.environ.get("CONEXIONES_FAULT_SEED", "0"))
IMAGE = b"".join(bitmap(1600, 1200))
LIMIT = 300.0


def source(seed: int) -> bytes | Iterator[bytes]:
    """The image as bytes, or as a stream of pieces that comes only once."""
    if seed % 2:
        return IMAGE
    step = 1000 + seed * 977
    return (IMAGE[at : at + step] for at in range(0, len(IMAGE), step))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + RUNS))
async def test_an_image_survives_the_network(
    shared: Server, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if seed % 4 < 2:  # whatever the source: so that most of it comes by HTTP
        monkeypatch.setattr(http_body, "LEAST_BYTES", 100_000)
    async with (
        Proxy(shared.address, seed, most_bytes=len(IMAGE) // 2) as proxy,
        AsyncClient(proxy.address, timeout=2.0, patience=60.0) as client,
        asyncio.timeout(LIMIT),
    ):
        # After six bad connections come good ones, within the client's patience: none of these may fail.
        image = await client.upload(source(seed), chunk_size=256 << 10)
        assert await client.download(image.id) == IMAGE
    print(f"seed {seed}: {' '.join(fault.name for fault in proxy.happened)}")


@pytest.mark.parametrize("seed", range(FIRST, FIRST + 4))
async def test_a_network_that_never_heals_is_a_clear_error(
    shared: Server, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        Proxy(shared.address, seed, most_bytes=200_000, faulty=10_000, faults=[Fault.CUT]) as proxy,
        AsyncClient(proxy.address, patience=1.0) as client,
        asyncio.timeout(LIMIT),
    ):
        # The patience is over after four cuts, however long they take to come.
        clock = SimpleNamespace(monotonic=lambda: len(proxy.happened) / 4)
        monkeypatch.setattr(backoff, "time", clock)
        try:
            # A chunk that is larger than what any connection lives for never arrives whole.
            await client.upload(IMAGE)
        except ConexionesError as error:
            assert isinstance(error, NoProgress | ConnectionLost)  # noqa: PT017 (or it succeeded)
            assert error.message.endswith(".")  # noqa: PT017
            assert len(proxy.happened) >= 4


class Mover:
    """The program faults.js, which moves an image with the Node SDK for every line that it is given."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._process: subprocess.Popen[str] | None = None

    async def move(self, **order: Any) -> dict[str, Any]:
        """Its answer. It is killed, and another started for the next, if none comes in time."""
        process = self._running()
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(order) + "\n")
        reading = asyncio.create_task(asyncio.to_thread(process.stdout.readline))
        done, _ = await asyncio.wait({reading}, timeout=LIMIT)
        if not done or not reading.result():
            self.kill()
            await reading
            pytest.fail("It hung." if not done else "The program ended.")
        return json.loads(reading.result())

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            command = [self._node, str(PROGRAMS / "faults.js")]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
            )
        return self._process

    def kill(self) -> None:
        if self._process is not None:
            with self._process as process:
                process.kill()
            self._process = None


@pytest.fixture(scope="module")
def mover(node: str) -> Iterator[Mover]:
    mover = Mover(node)
    yield mover
    mover.kill()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("faults") / "image.bmp"
    path.write_bytes(IMAGE)
    return path


KINDS = ("bytes", "stream", "file")


@pytest.mark.parametrize("seed", range(FIRST, FIRST + RUNS))
async def test_an_image_survives_the_network_from_node(
    shared: Server, mover: Mover, file: Path, seed: int
) -> None:
    async with Proxy(shared.address, seed, most_bytes=len(IMAGE) // 2) as proxy:
        answer = await mover.move(
            address=proxy.address,
            image=str(file),
            source=KINDS[seed % 3],
            target=KINDS[seed // 3 % 3],
            patienceMs=120_000,
            chunkSize=256 << 10,
        )
    print(f"seed {seed}: {' '.join(fault.name for fault in proxy.happened)}")
    assert answer == {"sha256": hashlib.sha256(IMAGE).hexdigest()}


@pytest.mark.parametrize("seed", range(FIRST, FIRST + 4))
async def test_a_network_that_never_heals_is_a_clear_error_from_node(
    shared: Server, mover: Mover, file: Path, seed: int
) -> None:
    answer: dict[str, Any] = {"error": {}}
    async with (
        Proxy(shared.address, seed, most_bytes=200_000, faulty=10_000, faults=[Fault.CUT]) as proxy,
        asyncio.timeout(LIMIT),
    ):
        # On a busy machine the patience may be over before anything was cut.
        while "error" in answer and not proxy.happened:
            answer = await mover.move(
                address=proxy.address,
                image=str(file),
                source="bytes",
                target="bytes",
                patienceMs=1_000,
                chunkSize=1 << 20,
            )
    if error := answer.get("error"):
        assert error["code"] == grpc.StatusCode.UNAVAILABLE.value[0], error
        # The other one if each of the few attempts of this second was cut before its first answer.
        assert error["name"] in ("UnavailableError", "UnreachableError")
        assert error["message"]
    else:
        assert answer == {"sha256": hashlib.sha256(IMAGE).hexdigest()}
