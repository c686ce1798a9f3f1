"""Downloads: to every kind of target, ranges, over servers that die, and parts that were left."""

import asyncio
import fcntl
import hashlib
import io
import os
from pathlib import Path

import pytest

from conexiones import AsyncClient, errors
from conexiones.testing import Server


async def test_to_bytes_a_file_and_a_path(client: AsyncClient, scan: bytes, tmp_path: Path) -> None:
    image = await client.upload(scan)
    seen: list[tuple[int, int | None]] = []
    assert await client.download(image.id, progress=lambda *state: seen.append(state)) == scan
    assert seen[-1] == (len(scan), len(scan))
    file = io.BytesIO()
    assert await client.download(image.id, file) == image
    assert file.getvalue() == scan
    for target in (tmp_path / "a.bmp", str(tmp_path / "b.bmp")):
        assert await client.download(image.id, target) == image
    assert {name: (tmp_path / name).read_bytes() == scan for name in os.listdir(tmp_path)} == {  # noqa: PTH208
        "a.bmp": True,
        "b.bmp": True,
    }


@pytest.mark.parametrize(
    ("offset", "limit"), [(0, 10), (100, 3_000_000), (-1000, 0), (-1000, 10), (35_999_999, 0)]
)
async def test_ranges(client: AsyncClient, scan: bytes, tmp_path: Path, offset: int, limit: int) -> None:
    image = await client.upload(scan)
    wanted = scan[offset:][: limit or None]
    assert await client.download(image.id, offset=offset, limit=limit) == wanted
    path = tmp_path / "range"
    path.with_name("range.part").write_bytes(b"left by another")
    await client.download(image.id, path, offset=offset, limit=limit)
    assert path.read_bytes() == wanted


async def test_the_server_is_killed_in_the_middle(server: Server, scan: bytes, tmp_path: Path) -> None:
    async with AsyncClient(server.address) as client:
        image = await client.upload(scan)
        killed = asyncio.Event()

        def kill(done: int, total: int | None) -> None:
            if done > 10_000_000 and not killed.is_set():
                killed.set()
                server.kill()

        async def restart() -> None:
            await killed.wait()
            await asyncio.to_thread(server.start)

        path = tmp_path / "scan.bmp"
        got, _ = await asyncio.gather(client.download(image.id, path, progress=kill), restart())
        assert got == image
        assert path.read_bytes() == scan


@pytest.mark.parametrize("left", [1, 20_000_000, 36_000_054])
async def test_a_part_that_was_left_is_gone_on_with(
    client: AsyncClient, scan: bytes, tmp_path: Path, left: int
) -> None:
    image = await client.upload(scan)
    path, part = tmp_path / "scan.bmp", tmp_path / "scan.bmp.part"
    part.write_bytes(scan[:left])
    seen: list[int] = []
    assert await client.download(image.id, path, progress=lambda done, _: seen.append(done)) == image
    assert seen[0] >= left
    assert path.read_bytes() == scan
    assert not part.exists()


@pytest.mark.parametrize("left", [b"of another image", b"longer" * 7_000_000, bytes(36_000_054)])
async def test_a_part_of_something_else_is_written_anew(
    client: AsyncClient, scan: bytes, tmp_path: Path, left: bytes
) -> None:
    image = await client.upload(scan)
    path = tmp_path / "scan.bmp"
    path.with_name("scan.bmp.part").write_bytes(left)
    await client.download(image.id, path)
    assert hashlib.sha256(path.read_bytes()).digest() == image.sha256


async def test_two_writers_of_one_part(client: AsyncClient, photograph: bytes, tmp_path: Path) -> None:
    image = await client.upload(photograph)
    with (tmp_path / "a.jpg.part").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            await client.download(image.id, tmp_path / "a.jpg")


async def test_no_such_image(client: AsyncClient, tmp_path: Path) -> None:
    with pytest.raises(errors.ImageNotFound):
        await client.download("00000000-0000-7000-8000-000000000000")
    with pytest.raises(errors.ImageNotFound):
        await client.download("00000000-0000-7000-8000-000000000000", tmp_path / "none")
    assert not (tmp_path / "none").exists()


async def test_cancelled_it_leaves_a_part(client: AsyncClient, scan: bytes, tmp_path: Path) -> None:
    image = await client.upload(scan)
    begun = asyncio.Event()
    path = tmp_path / "scan.bmp"
    task = asyncio.create_task(client.download(image.id, path, progress=lambda *_: begun.set()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not path.exists()
    assert path.with_name("scan.bmp.part").exists()
    await client.download(image.id, path)
    assert path.read_bytes() == scan
