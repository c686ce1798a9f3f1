"""Files that are read again when they change."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from conexiones import watched_files
from conexiones.watched_files import WatchedFiles
from tests.support.waiting import until


class Reader:
    """Reads a number from a file."""

    def __init__(self, path: Path, every: float | None = None) -> None:
        self.path = path
        self.seen: list[int] = []
        self.tries = 0
        self.files = WatchedFiles([path], self.load, what="numbers", every=every)

    def put(self, text: str) -> None:
        """Puts the text into the file, which would be empty for an instant if it were written to."""
        new = self.path.with_name("new")
        new.write_text(text)
        new.replace(self.path)

    async def load(self) -> None:
        self.tries += 1
        self.seen.append(int(await asyncio.to_thread(self.path.read_text)))


@asynccontextmanager
async def watched(reader: Reader) -> AsyncIterator[None]:
    with suppress(OSError):
        await reader.files.first()
    reader.seen.clear()
    task = asyncio.create_task(reader.files.watch())
    yield
    assert not task.done()
    task.cancel()


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    monkeypatch.setattr(watched_files, "WATCH_SECONDS", 0.01)
    (tmp_path / "numbers").write_text("1")
    return Reader(tmp_path / "numbers")


async def test_a_change_is_seen(reader: Reader, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "conexiones.files")
    async with watched(reader):
        reader.put("22")
        await until(lambda: reader.seen == [22])
        reader.put("33")
        await until(lambda: reader.seen == [22, 33])
    assert caplog.text.count("The numbers were read again") == 2


async def test_a_change_between_the_start_and_the_first_look_is_seen(reader: Reader) -> None:
    await reader.files.first()
    reader.put("22")
    task = asyncio.create_task(reader.files.watch())
    await until(lambda: reader.seen == [1, 22])
    task.cancel()


async def test_a_change_while_files_are_read_for_the_first_time_is_seen(reader: Reader) -> None:
    async def slowly() -> None:
        await reader.load()
        reader.put("22")

    await reader.files.first(slowly)
    task = asyncio.create_task(reader.files.watch())
    await until(lambda: reader.seen == [1, 22])
    task.cancel()


async def test_somebody_asks(reader: Reader) -> None:
    async with watched(reader):
        reader.files.again()
        await until(lambda: reader.seen == [1])


async def test_what_is_bad_is_said_once_and_tried_when_it_changes(
    reader: Reader, caplog: pytest.LogCaptureFixture
) -> None:
    async with watched(reader):
        reader.put("bad")
        await until(lambda: caplog.text.count("The old ones go on.") == 1)
        tries = reader.tries
        reader.path.unlink()
        await until(lambda: caplog.text.count("The old ones go on.") == 2)
        assert reader.tries > tries
        reader.put("4")
        await until(lambda: reader.seen == [4])


async def test_what_is_read_at_intervals_complains_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "conexiones.files")
    reader = Reader(tmp_path / "numbers", every=0.01)
    async with watched(reader):
        await until(lambda: reader.tries > 5)
        assert caplog.text.count("The old ones go on.") == 1
        reader.put("5")
        await until(lambda: reader.seen[:2] == [5, 5])
    assert caplog.text.count("The numbers were read again") == 1
