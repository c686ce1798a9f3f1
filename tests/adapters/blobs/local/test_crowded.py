"""Hundreds of uploads of one client on their way to the disk."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from conexiones.adapters.blobs.local.buffers import BATCH, OUTSTANDING, Buffers
from conexiones.adapters.blobs.local.folder import THREADS, Folder
from conexiones.adapters.blobs.local.staged import LocalStaged
from conexiones.adapters.blobs.local.store import SMALL, LocalStore
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.shares import Caller, act_for
from tests.adapters.blobs.contents import MIB
from tests.support.waiting import DEADLINE

GREEDY = "192.0.2.1"


def taken(buffers: Buffers, caller: Caller) -> int:
    return len(list(iter(lambda: buffers.take(caller), None)))


@pytest.mark.parametrize("connections", [1, 4, 400])
def test_who_holds_buffers_leaves_some_for_others(connections: int) -> None:
    buffers = Buffers(1 << 18, memory=192 * MIB)
    held = sum(taken(buffers, Caller(GREEDY, str(number))) for number in range(connections))
    assert held >= BATCH * (OUTSTANDING + 1), "enough for one upload at full speed"
    for client in range(4):
        assert taken(buffers, Caller(f"192.0.2.{10 + client}")) > 0


def test_a_buffer_that_is_given_back_is_free_for_anybody() -> None:
    buffers = Buffers(1 << 18, memory=192 * MIB)
    for caller in (Caller(GREEDY), Caller("192.0.2.2")) * 200:
        unit = buffers.take(caller)
        assert unit is not None
        buffers.give(caller, unit)


async def test_what_a_buffer_has_room_for_waits_for_nobody(tmp_path: Path, catalog: SqliteCatalog) -> None:
    folder = Folder(tmp_path / "data", catalog)
    folder.prepare()
    folder.start_threads()
    act_for(Caller(GREEDY))
    staged = LocalStaged(folder, Buffers(SMALL), SMALL)
    await staged.write(bytes(SMALL + 1))
    async with AsyncExitStack() as turns:
        for _ in range(THREADS):
            await turns.enter_async_context(folder.writing)
        async with asyncio.timeout(DEADLINE):
            await staged.write(b"more")
    await staged.discard()
    threads = folder.take_threads()
    assert threads is not None
    threads.shutdown()


async def test_a_client_creates_few_files_at_a_time(
    tmp_path: Path, catalog: SqliteCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    creating: set[Future[Any]] = set()
    most = 0
    submit_for = Folder.submit_for

    def counted(
        folder: Folder, caller: Caller, work: Callable[..., Any], *args: Any, **options: Any
    ) -> Future[Any]:
        nonlocal most
        future = submit_for(folder, caller, work, *args, **options)
        if work.__name__ == "_create":
            creating.add(future)
            most = max(most, len(creating))
        return future

    async def run(folder: Folder, work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        result = await plain(folder, work, *args, **options)
        creating.difference_update({future for future in creating if future.done()})
        return result

    plain = Folder.run
    monkeypatch.setattr(Folder, "submit_for", counted)
    monkeypatch.setattr(Folder, "run", run)
    store = LocalStore(tmp_path / "data", catalog, writer=catalog.writer)
    await store.open()

    async def upload(number: int) -> None:
        act_for(Caller(GREEDY, str(number)))
        staged = store.staging.stage()
        await staged.write(bytes(SMALL + 1))
        await staged.discard()

    await asyncio.gather(*map(upload, range(100)))
    await store.close()
    assert 0 < most <= THREADS
