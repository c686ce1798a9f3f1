"""The memory of the server and of each SDK while one large image goes up and comes back.

CONEXIONES_PEAK_BYTES sets the size (192 MiB); `make budget` takes 4 GiB.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conexiones.testing import Server
from tests.sdk.test_processes import TRANSFER
from tests.support.bitmaps import bitmap
from tests.support.lengths import THOROUGH
from tests.support.node import PROGRAMS, run
from tests.support.processes import Meter

MIB = 1 << 20
SIZE = int(os.environ.get("CONEXIONES_PEAK_BYTES", str(192 * MIB)))
SECONDS = 60 + SIZE // (4 * MIB)
SERVER, PYTHON, NODE = 300 * MIB, 150 * MIB, 200 * MIB


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("budgets") / "scan.bmp"
    width = 32_768
    with path.open("wb") as file:
        for piece in bitmap(width, -(-SIZE // (width * 3))):
            file.write(piece)
    yield path
    path.unlink()


def with_python(server: Server, source: Path, target: Path, _: str) -> int:
    command = [sys.executable, TRANSFER, "peak", server.address, str(source), str(target)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=SECONDS)
    return int(done.stdout.split()[0]) << 10


def with_node(server: Server, source: Path, target: Path, node: str) -> int:
    def moved(*arguments: str) -> dict[str, Any]:
        program = str(PROGRAMS / "move.js")
        out = run(node, program, *arguments, timeout=SECONDS, CONEXIONES_ADDRESS=server.address)
        return json.loads(out.splitlines()[-1])

    up = moved("put", str(source))
    down = moved("get", up["id"], str(target))
    return max(up["peak"], down["peak"])


@pytest.mark.parametrize(
    ("move", "budget"),
    [(with_python, PYTHON), pytest.param(with_node, NODE, marks=THOROUGH)],
    ids=["Python", "Node.js"],
)
def test_the_memory_of_a_large_image(
    start: Callable[..., Server],
    node: str,
    scan: Path,
    tmp_path: Path,
    move: Callable[[Server, Path, Path, str], int],
    budget: int,
    record_property: Callable[[str, object], None],
) -> None:
    # Decoding has a budget of its own.
    server = start(max_pixels=str(SIZE), decode_pixels="1000000")
    target = tmp_path / "back.bmp"
    with Meter(server.pid) as meter:
        peak = move(server, scan, target, node)
    size = scan.stat().st_size
    assert target.stat().st_size == size
    target.unlink()
    record_property("client", peak)
    record_property("server", meter.peak)
    print(f"{size / MIB:.0f} MiB: client {peak / MIB:.0f} MiB, server {meter.peak / MIB:.0f} MiB at most")
    assert peak < budget
    assert meter.peak < SERVER
