"""The bounded folder with copies for decoders."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from conexiones.adapters.blobs.s3.local_files import Fill, LocalFiles
from conexiones.errors import BlobCorrupt, ServerBusy, StorageFull, StorageUnavailable
from conexiones.private_folder import PREFIX

ONE, TWO, THREE = (bytes([n]) * 32 for n in range(3))


@pytest.fixture
def files(tmp_path: Path) -> Iterator[LocalFiles]:
    files = LocalFiles(tmp_path / "local", limit=100)
    files.open()
    yield files
    files.close()


def filling(data: bytes, calls: list[bytes] | None = None) -> Fill:
    async def fill(file: BinaryIO) -> None:
        if calls is not None:
            calls.append(data)
        await asyncio.sleep(0)
        file.write(data)

    return fill


async def test_of_many_who_ask_at_once_one_writes(files: LocalFiles) -> None:
    calls: list[bytes] = []

    async def ask() -> bytes:
        async with files.file(ONE, 3, filling(b"one", calls)) as path:
            return path.read_bytes()

    assert set(await asyncio.gather(*(ask() for _ in range(10)))) == {b"one"}
    assert calls == [b"one"]


async def test_if_one_cannot_write_the_next_one_tries(files: LocalFiles) -> None:
    async def fail(file: BinaryIO) -> None:
        file.write(b"half")
        await asyncio.sleep(0)
        raise BlobCorrupt

    async def ask(fill: Fill) -> bytes:
        async with files.file(ONE, 3, fill) as path:
            return path.read_bytes()

    fills = [fail, filling(b"one"), filling(b"one")]
    said = await asyncio.gather(*(ask(fill) for fill in fills), return_exceptions=True)
    assert isinstance(said[0], BlobCorrupt)
    assert said[1:] == [b"one", b"one"]


async def test_what_is_used_stays_and_the_least_recently_used_goes(files: LocalFiles) -> None:
    async with files.file(ONE, 60, filling(b"one")) as one:
        with pytest.raises(ServerBusy):
            async with files.file(TWO, 60, filling(b"two")):
                pass
        async with files.file(THREE, 40, filling(b"three")) as three:
            assert files.held == 100
        async with files.file(TWO, 30, filling(b"two")) as two:
            assert not three.exists()
            assert one.read_bytes() + two.read_bytes() == b"onetwo"
    assert files.held == 90
    async with files.file(THREE, 100, filling(b"three")):
        assert not one.exists()
        assert not two.exists()
    with pytest.raises(StorageFull):
        async with files.file(ONE, 101, filling(b"one")):
            pass


async def test_what_a_process_left_that_has_ended_goes(files: LocalFiles, tmp_path: Path) -> None:
    left = tmp_path / "local" / f"{PREFIX}left"
    left.mkdir()
    (left / "private.lock").touch()
    (left / "copy").write_bytes(b"1")
    async with files.file(ONE, 3, filling(b"one")) as path:
        other = LocalFiles(tmp_path / "local", limit=100)
        other.open()
        assert not left.exists()
        assert path.exists(), "that process lives"
        other.close()


async def test_a_closed_one_is_unavailable(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path / "local")
    with pytest.raises(StorageUnavailable):
        async with files.file(ONE, 3, filling(b"one")):
            pass
