"""The writing process as adapters use it: it may die at any moment, and it ends with the server."""

import asyncio
import hashlib
import logging
import os
import pickle
import random
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from conexiones.adapters.blobs.local.segment_index import Place, Record, SegmentIndex
from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.adapters.writer.messages import failed, raised
from conexiones.errors import ConexionesError, NoPreview, StorageFull, StorageUnavailable, TooManyUploads
from conexiones.ports.records import ImageRecord, UploadQuota, UploadRecord
from tests.adapters.blobs.local.shop import InTheWriter, Make, dying
from tests.adapters.stored import records
from tests.support.paths import ROOT
from tests.support.processes import own_writers, suspend, writers
from tests.support.waiting import DEADLINE, idle, surely


async def stored(catalog: SqliteCatalog, store: LocalStore, image: ImageRecord, data: bytes) -> bytes:
    staged = store.staging.stage()
    await staged.write(data)

    async def add(digest: bytes) -> bytes:
        await catalog.add_image(replace(image, digest=digest))
        return digest

    try:
        digest = await staged.publish(add)
        await staged.settle()
        return digest
    finally:
        await staged.discard()


@pytest.fixture
def refused() -> Iterator[asyncio.Event]:
    """Set when a process could not be started."""
    event = asyncio.Event()

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "cannot be started" in record.getMessage():
                event.set()

    ear = Ear()
    logging.getLogger("conexiones.adapters.writer.client").addHandler(ear)
    yield event
    logging.getLogger("conexiones.adapters.writer.client").removeHandler(ear)


async def test_killed_under_load_it_loses_nothing_that_was_acknowledged(
    tmp_path: Path, image: Make, caplog: pytest.LogCaptureFixture
) -> None:
    catalog = SqliteCatalog(tmp_path / "catalog.db")
    await catalog.open()
    acknowledged: set[str] = set()
    failed: set[str] = set()

    async def add(name: str) -> None:
        try:
            await catalog.add_image(image(name))
            acknowledged.add(name)
        except StorageUnavailable:
            failed.add(name)

    for lap in range(5):
        (process,) = own_writers()
        adding = [asyncio.ensure_future(add(f"{lap}.{i}")) for i in range(400)]
        await asyncio.wait(adding[: lap * 80 + 1], return_when=asyncio.FIRST_COMPLETED)
        if lap == 4:
            suspend(process)  # so that it is certain that it has not done all of them
        more = [asyncio.ensure_future(add(f"{lap}.more.{i}")) for i in range(400)]
        await idle()
        process.kill()
        await asyncio.wait(adding + more)
        await surely(partial(catalog.add_image, image(f"{lap}.after")))
        acknowledged.add(f"{lap}.after")
    assert acknowledged
    assert failed, "the kill must come while writes are under way"
    assert all([await catalog.get_image(name) for name in acknowledged])
    # Of those that failed some may be there: whoever asks sees which, and no event is without its image.
    stored = {name for name in acknowledged | failed if await catalog.get_image(name)}
    events = await catalog.events(after=0, limit=10_000)
    assert {event.image_id for event in events} == stored
    assert [event.sequence for event in events] == list(range(1, len(stored) + 1))
    assert "is started again" in caplog.text
    await catalog.close()
    assert own_writers() == []


@pytest.mark.parametrize(
    ("size", "count"), [(3000, 300), (60_000, 100)], ids=["small", "past the page cache"]
)
async def test_killed_under_load_it_leaves_no_image_without_its_bytes(
    tmp_path: Path, image: Make, size: int, count: int
) -> None:
    """Nor bytes without an image, without a new start of the server."""
    catalog = SqliteCatalog(tmp_path / "catalog.db")
    store = LocalStore(tmp_path, catalog, writer=catalog.writer)
    await catalog.open()
    await store.open()
    acknowledged: dict[str, bytes] = {}
    failed: set[str] = set()

    async def send(name: str) -> None:
        data = random.Random(name).randbytes(size)
        try:
            await stored(catalog, store, image(name), data)
            acknowledged[name] = data
        except StorageUnavailable:
            failed.add(name)

    async def again(name: str) -> bool:
        await send(name)
        if name not in acknowledged:
            raise StorageUnavailable
        return True

    for lap in range(5):
        (process,) = own_writers()
        storing = [asyncio.ensure_future(send(f"{lap}.{i}")) for i in range(count)]
        await asyncio.wait(storing[: lap * count // 5 + 1], return_when=asyncio.FIRST_COMPLETED)
        if lap == 4:
            suspend(process)
        storing += [asyncio.ensure_future(send(f"{lap}.more.{i}")) for i in range(count)]
        await idle()
        process.kill()
        await asyncio.wait(storing)
        await surely(partial(again, f"{lap}.after"))
    assert acknowledged
    assert failed
    for name, data in acknowledged.items():
        found = await catalog.get_image(name)
        assert found
        assert b"".join([piece async for piece in store.blobs.read(found.digest)]) == data
    events = await catalog.events(after=0, limit=10_000)
    images = [await catalog.get_image(event.image_id) for event in events]
    assert all(images)
    digests = {one.digest.hex() for one in images if one}
    assert set(records(tmp_path)) == digests
    await store.close()
    await store.open()
    assert set(records(tmp_path)) == digests
    await store.close()
    await catalog.close()


@pytest.mark.parametrize("troubled", [False, True], ids=["", "looked at twice"])
@pytest.mark.parametrize(("step", "committed"), [("_store", False), ("_make_durable", True)])
async def test_dying_between_two_steps_it_leaves_both_or_neither(
    tmp_path: Path,
    image: Make,
    in_the_writer: InTheWriter,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    committed: bool,
    troubled: bool,
) -> None:
    """It dies between the bytes and the image, and between the image and the answer."""
    flag = tmp_path / "dying"
    in_the_writer(dying(flag, "from conexiones.adapters.writer.group_commit import GroupCommit", step))
    catalog = SqliteCatalog(tmp_path / "catalog.db")
    store = LocalStore(tmp_path, catalog, writer=catalog.writer)
    await catalog.open()
    await store.open()

    first = await stored(catalog, store, image("first"), b"first")
    flag.touch()
    if troubled:  # the first look at what the process has left
        add, failures = SegmentIndex.add, iter([sqlite3.OperationalError("injected")])

        def fail_once(index: SegmentIndex, records: list[Record], mark: Place) -> None:
            if not flag.exists() and (failure := next(failures, None)):
                raise failure
            add(index, records, mark)

        monkeypatch.setattr(SegmentIndex, "add", fail_once)
    with pytest.raises(StorageUnavailable):
        await stored(catalog, store, image("second"), b"second")
    third = await surely(lambda: stored(catalog, store, image("third"), b"third"))
    second = hashlib.sha256(b"second").digest()
    expected = {first, second, third} if committed else {first, third}
    assert {bytes.fromhex(digest) for digest in records(tmp_path)} == expected
    assert bool(await catalog.get_image("second")) == committed
    for digest in expected:
        data = b"".join([piece async for piece in store.blobs.read(digest)])
        assert hashlib.sha256(data).digest() == digest
    await store.close()
    await store.open()
    assert {bytes.fromhex(digest) for digest in records(tmp_path)} == expected
    await store.close()
    await catalog.close()


async def test_killed_at_rest_it_comes_back_and_watchers_with_it(tmp_path: Path, image: Make) -> None:
    catalog = SqliteCatalog(tmp_path / "catalog.db")
    await catalog.open()
    await catalog.add_image(image("1"))
    waiting = asyncio.ensure_future(catalog.changed(1))
    own_writers()[0].kill()
    await surely(lambda: catalog.add_image(image("2")))
    await asyncio.wait_for(waiting, DEADLINE)
    assert [event.image_id for event in await catalog.events(after=0, limit=9)] == ["1", "2"]
    await catalog.close()


async def test_while_it_cannot_start_writes_are_refused_and_reading_goes_on(
    tmp_path: Path, image: Make, refused: asyncio.Event
) -> None:
    path = tmp_path / "catalog.db"
    catalog = SqliteCatalog(path)
    await catalog.open()
    await catalog.add_image(image("1"))
    assert await catalog.get_image("1")
    path.rename(tmp_path / "away.db")
    path.mkdir()
    own_writers()[0].kill()
    await asyncio.wait_for(refused.wait(), DEADLINE)
    with pytest.raises(StorageUnavailable):
        await catalog.add_image(image("2"))
    assert await catalog.get_image("1")
    path.rmdir()
    (tmp_path / "away.db").rename(path)
    await surely(lambda: catalog.add_image(image("2")))
    await catalog.close()


async def test_closing_does_not_wait_for_one_that_cannot_start(
    tmp_path: Path, refused: asyncio.Event
) -> None:
    path = tmp_path / "catalog.db"
    catalog = SqliteCatalog(path)
    await catalog.open()
    path.rename(tmp_path / "away.db")
    path.mkdir()
    own_writers()[0].kill()
    await asyncio.wait_for(refused.wait(), DEADLINE)
    await asyncio.wait_for(catalog.close(), DEADLINE)
    assert own_writers() == []


async def test_closing_ends_one_that_is_just_starting(
    tmp_path: Path, in_the_writer: Callable[[str], None]
) -> None:
    catalog = SqliteCatalog(tmp_path / "catalog.db")
    await catalog.open()
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    in_the_writer(f"open({str(gate)!r}).read()")  # until the test closes its end
    (process,) = own_writers()
    process.kill()
    end = await asyncio.to_thread(gate.open, "w")  # when the new process waits at the gate
    closing = asyncio.ensure_future(catalog.close())
    await asyncio.sleep(0)
    end.close()
    await asyncio.wait_for(closing, DEADLINE)
    assert own_writers() == []


async def test_signals_to_the_whole_service_do_not_end_it(tmp_path: Path, image: Make) -> None:
    catalog = SqliteCatalog(tmp_path / "catalog.db")
    await catalog.open()
    (process,) = own_writers()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        process.send_signal(number)
    await catalog.add_image(image("1"))
    assert own_writers() == [process]
    assert os.getpgid(process.pid) != os.getpgid(0), "Ctrl-C is for the server"
    await catalog.close()


SERVER = """
import asyncio, sys
from pathlib import Path
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
async def main():
    await SqliteCatalog(Path(sys.argv[1])).open()
    print("open", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_it_dies_with_the_server(tmp_path: Path) -> None:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, str(tmp_path / "catalog.db"), stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert server.stdout
    assert await server.stdout.readline() == b"open\n"
    (process,) = writers(server.pid)
    server.kill()
    await server.wait()
    process.wait(DEADLINE)
    assert not process.is_running()


async def test_an_error_arrives_as_it_was(tmp_path: Path, upload: Callable[..., UploadRecord]) -> None:
    catalog = SqliteCatalog(tmp_path / "catalog.db")
    await catalog.open()
    quota = UploadQuota(uploads=1, bytes=1 << 40)
    await catalog.create_upload(upload("1"), quota=quota)
    with pytest.raises(TooManyUploads) as refused:
        await catalog.create_upload(upload("2"), quota=quota)
    assert refused.value.facts == {"limit": 1, "actual": 2}
    assert "TooManyUploads" in str(refused.value.__cause__), "the trace is for the log"
    await catalog.close()


def test_what_the_disk_said_is_one_line_and_the_trace_a_note() -> None:
    try:
        raise OSError(28, "No space left on device")
    except OSError as full:
        told = failed(full)
    error = raised(pickle.loads(pickle.dumps(told.error)), told.trace)
    cause = error.__cause__
    assert isinstance(error, StorageFull)
    assert str(cause) == "OSError: [Errno 28] No space left on device"
    (note,) = getattr(cause, "__notes__", [""])
    assert note.startswith("Traceback ")


def test_errors_can_be_sent() -> None:
    error = NoPreview(field="image", format="PNG", cause="PIXELS", limit=1, actual=2, unit="pixels")
    copy = pickle.loads(pickle.dumps(error))
    assert isinstance(copy, ConexionesError)
    assert (type(copy), copy.field, copy.facts) == (NoPreview, "image", error.facts)
    assert (str(copy), copy.mensaje) == (str(error), error.mensaje)
