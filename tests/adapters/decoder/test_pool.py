"""VipsDecoder as a pool: many requests at once, cancelling, closing, and the life of its processes."""

import asyncio
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from conexiones.errors import NoPreview, ServerBusy, ServerDraining
from conexiones.ports.records import Recipe
from conexiones.shares import Caller
from tests.adapters.decoder.workers import (
    Endless,
    Pool,
    pool,
)
from tests.support.processes import own_decoders
from tests.support.waiting import DEADLINE, idle

RECIPE = Recipe(
    width=10, height=0, fit="INSIDE", format="JPEG", quality=80, animated=False, keep_profile=False
)


async def test_many_at_once(good: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with pool(workers=2) as decoder:
        for _ in range(3):
            await decoder.preview(good, format="JPEG")
        (first,) = own_decoders()
        previews = await asyncio.gather(*(decoder.preview(good, format="JPEG") for _ in range(50)))
        assert len(set(previews)) == 1
        both = own_decoders()
        assert len(both) == 2
        assert first in both
        await asyncio.gather(*(decoder.preview(good, format="JPEG") for _ in range(50)))
        assert own_decoders() == both
    assert capfd.readouterr() == ("", "")


async def test_cancelled(
    good: Path, endless: Endless, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    never = tmp_path / "never.jpg"
    os.mkfifo(never)
    caplog.set_level(logging.DEBUG, "conexiones.decoder")
    async with pool(decode_seconds=600) as decoder:
        running = asyncio.create_task(decoder.preview(endless.path, format="JPEG"))
        await endless.read()
        queued = asyncio.create_task(decoder.preview(never, format="JPEG"))
        last = asyncio.create_task(decoder.preview(good, format="JPEG"))
        await asyncio.sleep(0)
        running.cancel()
        queued.cancel()
        async with asyncio.timeout(DEADLINE):  # a tenth of the time that the running request has
            assert await last
        assert running.cancelled()
        assert queued.cancelled()
    # That one was ended is logged for debugging alone: it is no failure. The second one was never run.
    assert "endless.jpg" in caplog.text
    assert "never.jpg" not in caplog.text
    assert {record.levelname for record in caplog.records if record.name == "conexiones.decoder"} == {"DEBUG"}


async def test_what_nobody_waits_for_takes_no_time_from_others(
    good: Path, endless: Endless, tmp_path: Path
) -> None:
    into = tmp_path / "rendition"
    async with pool(workers=1, decode_seconds=600) as decoder, asyncio.timeout(DEADLINE):
        rendering = asyncio.create_task(decoder.render(endless.path, into, format="JPEG", recipe=RECIPE))
        await endless.read()
        queued = [asyncio.create_task(decoder.preview(good, format="JPEG")) for _ in range(20)]
        await asyncio.sleep(0)
        for task in (rendering, *queued):
            task.cancel()
        assert await decoder.preview(good, format="JPEG")
        assert rendering.cancelled()
        into.unlink(missing_ok=True)  # it is the caller's again


async def test_large_work_that_nobody_waits_for_is_ended_at_once(good: Path, endless: Endless) -> None:
    async with pool(workers=2, ready=2, decode_seconds=600) as decoder, asyncio.timeout(DEADLINE):
        await decoder.preview(good, format="JPEG")
        before = own_decoders()
        running = asyncio.create_task(decoder.preview(endless.path, format="JPEG", large=True))
        await endless.read()
        running.cancel()
        # The only place for large work is free again.
        assert await decoder.preview(good, format="JPEG", large=True)
        assert len([process for process in own_decoders() if process in before]) == 1


async def test_small_work_that_nobody_waits_for_may_end_by_itself(
    good: Path, endless: Endless, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that closes its requests at once does not make workers start anew."""
    monkeypatch.setattr("conexiones.adapters.decoder.pool.SMALL_SECONDS", DEADLINE)
    async with pool(workers=1, decode_seconds=600) as decoder, asyncio.timeout(DEADLINE):
        (before,) = own_decoders()
        running = asyncio.create_task(decoder.preview(endless.path, format="JPEG"))
        await endless.read()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        waiting = asyncio.create_task(decoder.preview(good, format="JPEG"))
        await idle()
        endless.close()  # the work comes to its end
        assert await waiting
        assert own_decoders() == [before]


async def test_small_work_that_nobody_waits_for_is_ended_when_it_takes_long(
    good: Path, endless: Endless, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conexiones.adapters.decoder.pool.SMALL_SECONDS", 0.2)
    async with pool(workers=1, decode_seconds=600) as decoder, asyncio.timeout(DEADLINE):
        running = asyncio.create_task(decoder.preview(endless.path, format="JPEG"))
        await endless.opened()
        running.cancel()
        assert await decoder.preview(good, format="JPEG")


async def test_small_work_that_takes_long_gives_way_and_begins_anew_as_large_work(
    good: Path, endless: Endless, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conexiones.adapters.decoder.pool.SMALL_SECONDS", 1.0)
    other = Endless(tmp_path / "other.jpg")
    async with pool(workers=2, decode_seconds=600) as decoder, asyncio.timeout(DEADLINE):
        first = asyncio.create_task(decoder.preview(endless.path, format="JPEG"))
        await endless.opened()
        pretending = asyncio.create_task(decoder.preview(other.path, format="JPEG"))
        await other.opened()
        # Work that is small takes more than a second on a busy machine, too.
        monkeypatch.setattr("conexiones.adapters.decoder.pool.SMALL_SECONDS", DEADLINE)
        # The first one has become large work, of which there may be no more: the other has to wait.
        for _ in range(5):
            assert await decoder.preview(good, format="JPEG")
        good.replace(other.path)  # noqa: ASYNC240 (renaming a file of a test waits for nothing)
        other.close()
        assert not pretending.done()
        first.cancel()
        assert await pretending


async def test_a_wait_ends(good: Path, endless: Endless) -> None:
    async with pool(workers=1, decode_seconds=600, wait_seconds=0.1) as decoder:
        running = asyncio.create_task(decoder.preview(endless.path, format="JPEG", large=True))
        await endless.read()
        with pytest.raises(ServerBusy):
            await decoder.preview(good, format="JPEG", caller=Caller("somebody"))
        running.cancel()
        await asyncio.wait((running,))


async def test_close_is_prompt(good: Path, endless: Endless) -> None:
    threads = set(threading.enumerate())
    async with pool(decode_seconds=600) as decoder:
        running = asyncio.create_task(decoder.preview(endless.path, format="JPEG"))
        await endless.read()
        queued = asyncio.create_task(decoder.preview(good, format="JPEG"))
        await asyncio.sleep(0)
        async with asyncio.timeout(DEADLINE):  # a tenth of the time that the running request has
            await decoder.close()
        assert own_decoders() == []
        assert set(threading.enumerate()) <= threads  # those of other tests may end meanwhile
        for call in (running, queued, decoder.preview(good, format="JPEG")):
            with pytest.raises(ServerDraining):
                await call
        await decoder.open()
        assert await decoder.preview(good, format="JPEG")


async def test_none_is_started_before_it_is_needed(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with pool(ready=0) as decoder:
        assert own_decoders() == []
        with monkeypatch.context() as patch:
            patch.setattr(sys, "prefix", str(good.parent))
            with pytest.raises(NoPreview, match="CRASH"):
                await decoder.preview(good, format="JPEG")
        assert await decoder.preview(good, format="JPEG")
        assert len(own_decoders()) == 1


async def test_close_while_loading() -> None:
    async with pool(workers=4, ready=4):
        assert len(own_decoders()) == 4
    assert own_decoders() == []


async def test_no_python(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = set(threading.enumerate())
    decoder = Pool(workers=2, decode_pixels=10**6, decode_seconds=10, decode_memory=1 << 28)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "prefix", str(good.parent))
        with pytest.raises(FileNotFoundError):
            await decoder.open()
    assert set(threading.enumerate()) <= threads
    assert own_decoders() == []
    await decoder.open()
    assert await decoder.preview(good, format="JPEG")
    await decoder.close()


async def test_inside_another_program(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a program that embeds Python does not reach the workers."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    for name in ("PYTHONHOME", "PYTHONPATH", "LD_PRELOAD"):
        monkeypatch.setenv(name, "/nowhere")
    async with pool() as decoder:
        assert await decoder.preview(good, format="JPEG")
        environment = own_decoders()[0].environ()
    assert not {"PYTHONHOME", "PYTHONPATH", "LD_PRELOAD"} & environment.keys()


PARENT = """
import asyncio, sys
from pathlib import Path
import psutil
from conexiones.adapters.decoder.pool import VipsDecoder
from conexiones.shares import Caller

async def main():
    pool = VipsDecoder(workers=2, decode_pixels=10**6, decode_seconds=600, decode_memory=2**28)
    await pool.open()
    call = asyncio.create_task((await pool.turn()).preview(Path(sys.argv[1]), format="JPEG"))
    await (await pool.turn()).preview(Path(sys.argv[2]), format="JPEG")
    print(*(process.pid for process in psutil.Process().children()), flush=True)
    await call

asyncio.run(main())
"""


def test_workers_die_with_the_server(good: Path, endless: Endless) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, endless.path, good], stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout
        workers = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        assert len(workers) == 2
        parent.kill()
    _, alive = psutil.wait_procs(workers, timeout=DEADLINE)
    # In some containers nobody reaps orphans, which then stay zombies.
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
