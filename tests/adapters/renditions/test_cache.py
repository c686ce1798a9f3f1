"""FileRenditions on a real disk: it keeps to its limit, gives nothing damaged, and survives any end."""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

import conexiones.adapters.renditions.cache as module
from conexiones.adapters.renditions.cache import BLOCK, FileRenditions
from conexiones.adapters.system.memory_cache import LARGEST, MemoryCache
from conexiones.errors import StorageUnavailable
from conexiones.ports.records import Rendered
from conexiones.ports.renditions import RenditionFile
from tests.support.waiting import DEADLINE

ONE, OTHER = hashlib.sha256(b"1").digest(), hashlib.sha256(b"2").digest()
DATA = bytes(range(256)) * 40


@asynccontextmanager
async def cache(root: Path, limit: int = 1 << 20, *, memory: int = 0) -> AsyncIterator[FileRenditions]:
    cache = FileRenditions(root, limit=limit, cache=MemoryCache(memory))
    await cache.open()
    try:
        yield cache
    finally:
        await cache.close()


async def put(cache: FileRenditions, name: str, digest: bytes = ONE, data: bytes = DATA) -> RenditionFile:
    async def make(path: Path) -> Rendered:
        write(path, data)
        sha256 = hashlib.sha256(data).digest()
        return Rendered(format="PNG", width=3, height=2, frames=1, size=len(data), sha256=sha256)

    return await cache.add(digest, name, make)


def write(path: Path, data: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(data)


async def content(file: RenditionFile | None, offset: int = 0) -> bytes:
    assert file is not None
    try:
        return b"".join([piece async for piece in file.read(offset)])
    finally:
        file.close()


async def kept(cache: FileRenditions, *names: str, digest: bytes = ONE) -> list[str]:
    found = []
    for name in names:
        file = await cache.get(digest, name)
        if file:
            assert await content(file) == DATA
            found.append(name)
    return found


def files(root: Path) -> list[Path]:
    return [path for path in (root / "renditions").rglob("*") if path.is_file()]


def descriptors(root: Path) -> list[str]:
    """What this process has open below a folder; those of connections come and go."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(str(entry.readlink()))
    return sorted(one for one in found if one.startswith(f"{root}/"))


async def test_what_was_added_is_there_also_after_a_restart(tmp_path: Path) -> None:
    async with cache(tmp_path) as renditions:
        assert await renditions.get(ONE, "aa") is None
        assert await content(await put(renditions, "aa")) == DATA
        file = await renditions.get(ONE, "aa")
        assert file
        assert (file.rendered.format, file.rendered.width, file.rendered.size) == ("PNG", 3, len(DATA))
        assert await content(file, 100) == DATA[100:]
        assert await renditions.get(OTHER, "aa") is None
    async with cache(tmp_path) as renditions:
        assert await renditions.digests() == [ONE]
        assert await kept(renditions, "aa", "bb") == ["aa"]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files(tmp_path))


async def test_one_that_is_done_when_nobody_waits_any_more_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete, begun, goes_on = module._complete, threading.Event(), threading.Event()

    def late(*given: Any) -> Any:
        begun.set()
        assert goes_on.wait(DEADLINE)
        return complete(*given)

    monkeypatch.setattr(module, "_complete", late)
    async with cache(tmp_path) as renditions:
        before = descriptors(tmp_path)
        adding = asyncio.create_task(put(renditions, "aa"))
        await asyncio.to_thread(begun.wait, DEADLINE)
        adding.cancel()
        goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await adding
        assert descriptors(tmp_path) == before
        assert await kept(renditions, "aa") == ["aa"]
        await renditions.drop(ONE)
        assert files(tmp_path) == []


async def test_those_used_last_are_kept(tmp_path: Path) -> None:
    async with cache(tmp_path) as renditions:
        for name in ("aa", "bb", "cc"):
            (await put(renditions, name)).close()
        size = files(tmp_path)[0].stat().st_size
    # The time of the last use is the file's modification time, so it survives restarts.
    for age, name in ((300, "bb"), (200, "aa"), (100, "cc")):
        path = next(path for path in files(tmp_path) if path.name.endswith(name))
        os.utime(path, (time.time() - age,) * 2)
    async with cache(tmp_path, limit=2 * size) as renditions:
        assert await kept(renditions, "aa", "bb", "cc") == ["aa", "cc"]
        assert await kept(renditions, "aa") == ["aa"]
        (await put(renditions, "dd")).close()
        assert await kept(renditions, "aa", "cc", "dd") == ["aa", "dd"]
        assert sum(path.stat().st_size for path in files(tmp_path)) <= 2 * size
    used = next(path for path in files(tmp_path) if path.name.endswith("aa"))
    assert time.time() - used.stat().st_mtime < 60


async def test_one_that_is_larger_than_all_is_given_and_not_kept(tmp_path: Path) -> None:
    async with cache(tmp_path, limit=1000) as renditions:
        assert await content(await put(renditions, "aa")) == DATA
        assert await kept(renditions, "aa") == []
    assert files(tmp_path) == []


async def test_what_is_read_stays_readable(tmp_path: Path) -> None:
    async with cache(tmp_path) as renditions:
        file = await put(renditions, "aa")
        await renditions.drop(ONE)
        assert files(tmp_path) == []
        assert await content(file) == DATA


async def test_drop_takes_all_of_an_image_and_no_other(tmp_path: Path) -> None:
    async with cache(tmp_path) as renditions:
        for digest, name in ((ONE, "aa"), (ONE, "bb"), (OTHER, "aa")):
            (await put(renditions, name, digest)).close()
        await renditions.drop(ONE)
        assert await kept(renditions, "aa", "bb") == []
        assert await kept(renditions, "aa", digest=OTHER) == ["aa"]
        assert len(files(tmp_path)) == 1


@pytest.mark.parametrize("harm", ["cut", "empty", "byte", "end", "gone"])
async def test_what_is_damaged_is_never_given(tmp_path: Path, harm: str) -> None:
    async with cache(tmp_path) as renditions:
        (await put(renditions, "aa")).close()
    [path] = files(tmp_path)
    data = path.read_bytes()
    async with cache(tmp_path) as renditions:
        match harm:
            case "cut":
                path.write_bytes(data[:5000])
            case "empty":
                path.write_bytes(b"")
            case "byte":
                path.write_bytes(data[:5000] + b"x" + data[5001:])
            case "end":
                path.write_bytes(data[:-20] + bytes(8) + data[-12:])
            case "gone":
                path.unlink()
        assert await renditions.get(ONE, "aa") is None
        assert files(tmp_path) == []
        assert await renditions.digests() == []
        assert await content(await put(renditions, "aa")) == DATA


async def test_damage_while_the_server_runs_is_noticed(tmp_path: Path) -> None:
    """In the first block before anything is given, in another one before any of that block is."""
    data = Random(0).randbytes(2 * BLOCK + 5)
    async with cache(tmp_path) as renditions:
        for at in (0, BLOCK - 1, BLOCK, 2 * BLOCK + 4):
            (await put(renditions, "aa", data=data)).close()
            [path] = files(tmp_path)
            path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + path.read_bytes()[at + 1 :])
            file, given = await renditions.get(ONE, "aa"), b""
            if file is not None:
                with pytest.raises(StorageUnavailable):  # noqa: PT012 (what was given before counts too)
                    async for piece in file.read():
                        given += piece
                file.close()
            assert given == data[: at // BLOCK * BLOCK]
            assert await renditions.get(ONE, "aa") is None
            assert files(tmp_path) == []


async def test_one_that_fails_leaves_nothing(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def fail(path: Path) -> Rendered:
        write(path, b"half")
        raise RuntimeError

    async def stay(path: Path) -> Rendered:
        write(path, b"half")
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with cache(tmp_path) as renditions:
        with pytest.raises(RuntimeError):
            await renditions.add(ONE, "aa", fail)
        task = asyncio.create_task(renditions.add(ONE, "bb", stay))
        await begun.wait()
        assert len(files(tmp_path)) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert files(tmp_path) == []
    with pytest.raises(StorageUnavailable):
        await put(renditions, "aa")


WRITER = """
import asyncio, hashlib, sys
from pathlib import Path
from random import Random
from typing import Any
from conexiones.adapters.renditions.cache import FileRenditions
from conexiones.ports.records import Rendered

async def main():
    cache = FileRenditions(Path(sys.argv[1]), limit=1 << 20)
    await cache.open()
    digest = hashlib.sha256(b"1").digest()
    data = bytes(range(256)) * 40
    async def make(path):
        path.write_bytes(data)
        if number == 20:
            print("now", flush=True)
            sys.stdin.read()
        return Rendered(format="PNG", width=3, height=2, frames=1, size=len(data),
                        sha256=hashlib.sha256(data).digest())
    for number in range(100):
        await cache.add(digest, f"{number:02x}", make)

asyncio.run(main())
"""


async def test_kill_9(tmp_path: Path) -> None:
    writer = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", WRITER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with writer:
        assert writer.stdout
        assert writer.stdout.readline() == b"now\n"
        writer.send_signal(signal.SIGKILL)
    assert len(files(tmp_path)) == 21  # the last of which is still being made
    async with cache(tmp_path) as renditions:
        names = [f"{number:02x}" for number in range(22)]
        assert await kept(renditions, *names) == names[:20]
        assert len(files(tmp_path)) == 20


async def test_small_ones_that_were_given_of_late_are_in_memory(tmp_path: Path) -> None:
    async with cache(tmp_path, memory=1 << 20) as renditions:
        for name, data in (("aa", DATA), ("bb", bytes(LARGEST + 1))):
            (await put(renditions, name, data=data)).close()
            assert renditions.cached(ONE, name) is None
            assert await content(await renditions.get(ONE, name), 5) == data[5:]
        found = renditions.cached(ONE, "aa")
        assert found
        assert (found.rendered.size, found.content) == (len(DATA), DATA)
        assert (renditions.cached(ONE, "bb"), renditions.cached(OTHER, "aa")) == (None, None)
        await renditions.drop(ONE)
        assert renditions.cached(ONE, "aa") is None


async def test_what_is_in_memory_counts_as_used_on_the_disk(tmp_path: Path) -> None:
    async with cache(tmp_path, limit=3 * len(DATA) + 1000, memory=1 << 20) as renditions:
        for name in ("aa", "bb"):
            (await put(renditions, name)).close()
        assert await kept(renditions, "aa", "bb") == ["aa", "bb"]
        assert renditions.cached(ONE, "aa")
        for name in ("cc", "dd"):
            (await put(renditions, name)).close()
            assert renditions.cached(ONE, "aa")
        assert renditions.cached(ONE, "bb") is None, "it left the disk, and the memory with it"


async def test_what_is_dropped_while_it_is_read_does_not_stay_in_memory(tmp_path: Path) -> None:
    async with cache(tmp_path, memory=1 << 20) as renditions:
        for _ in range(20):
            (await put(renditions, "aa")).close()
            reading = [asyncio.create_task(renditions.get(ONE, "aa")) for _ in range(4)]
            await asyncio.sleep(0)
            await renditions.drop(ONE)
            for file in await asyncio.gather(*reading):
                if file:
                    file.close()
            assert renditions.cached(ONE, "aa") is None
