"""Everything is read again and again in the background; damage is said once."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from conexiones.adapters.scrub.file import ScrubFile, read
from conexiones.domain import verifying
from conexiones.domain.duties import Duties
from conexiones.domain.ids import now
from conexiones.domain.verifying import Scrub
from conexiones.errors import StorageFull, StorageUnavailable
from conexiones.metrics import Metrics, Numbers
from conexiones.ports.records import ImageRecord
from conexiones.ports.verifying import CheckedBlobs, Damage, Round, ScrubState
from tests.support.waiting import DEADLINE, until
from tests.upkeep.folders import Folder, blob, content, contents, damage, filled, image, opened

FAST = 1e-6
"""Days of a round: less than a second."""


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known damage is looked at again at once, and fast."""
    for name, value in {"AGAIN_SECONDS": 0.01, "LOOK_SECONDS": 0.01, "LEAST_RATE": 1 << 30}.items():
        monkeypatch.setattr(verifying, name, value)


class Scrubbing:
    """A Scrub of a folder that runs, with what it said."""

    def __init__(self, folder: Folder, *, days: float = FAST, log: ScrubFile | None = None) -> None:
        self.said: list[str] = []
        self.metrics = Metrics()
        self.scrub = Scrub(
            folder.catalog,
            folder.store.blobs,
            log or ScrubFile(folder.root),
            days=days,
            on_damage=self._hear,
            metrics=self.metrics,
        )

    def _hear(self, image: ImageRecord, damage: Damage) -> None:
        self.said.append(f"{image.id}'s {damage}")

    async def __aenter__(self) -> "Scrubbing":
        self._task = asyncio.create_task(self.scrub.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def round(self) -> ScrubState:
        """The state after a round that began after this call."""
        for _ in range(2):
            await until(partial(self._has_finished, self.scrub.state.finished.finish_time))
        return self.scrub.state

    def _has_finished(self, since: int) -> bool:
        return self.scrub.state.finished.finish_time > since

    def number(self, name: str) -> float:
        (found,) = [one for one in self.metrics.read() if one.instrument.name == name]
        assert isinstance(found, Numbers)
        return found.series[()]


async def test_damage_is_said_once_and_forgotten_when_it_is_mended(tmp_path: Path) -> None:
    data = await filled(tmp_path)
    async with opened(tmp_path) as folder, Scrubbing(folder) as scrubbing:
        state = await scrubbing.round()
        assert (state.finished.images, state.damaged) == (4, {})
        assert state.finished.bytes == sum(map(len, data.values()))
        damage(blob(tmp_path, data["3"]))
        damage(tmp_path / "segments" / "00000000", 100)
        for _ in range(2):
            state = await scrubbing.round()
        assert state.damaged.keys() == {"1", "3"}
        assert sorted(scrubbing.said) == ["1's bytes", "3's bytes"]
        assert scrubbing.number("conexiones.verify.damaged") == 2
        assert scrubbing.number("conexiones.verify.checked") > 8
        assert scrubbing.number("conexiones.verify.bytes") > sum(map(len, data.values()))
        assert scrubbing.number("conexiones.verify.last_finished") > 1e9
    async with opened(tmp_path) as folder, Scrubbing(folder) as again:
        await again.round()
        assert again.said == [], "not again after a restart either"
        await folder.add("5", data["3"])  # the same bytes take the place of the damaged ones
        await folder.delete("1")
        state = await again.round()
        assert state.damaged == {}
    async with opened(tmp_path) as folder:
        assert await folder.read(image("3", data["3"]).digest) == data["3"]


async def test_a_round_goes_on_after_a_restart(tmp_path: Path) -> None:
    data = contents()
    await filled(tmp_path)
    half = ScrubState(current=Round(begin_time=1, images=7, bytes=8), before="3")
    await ScrubFile(tmp_path).save(half)
    async with opened(tmp_path) as folder, Scrubbing(folder, days=1) as scrubbing:
        await until(lambda: (saved := read(tmp_path / "scrub.json")) and saved.finished.finish_time)
        finished = scrubbing.scrub.state.finished
        assert finished == replace(
            half.current,
            images=9,
            bytes=8 + len(data["1"]) + len(data["2"]),
            finish_time=finished.finish_time,
        )
        assert (await ScrubFile(tmp_path).load()).finished == finished
    async with opened(tmp_path) as folder, Scrubbing(folder, days=3650) as scrubbing:
        await until(lambda: scrubbing.scrub.state.finished.images == 9)
        assert scrubbing.scrub.state.current.begin_time in (0, scrubbing.scrub.state.current.begin_time)


async def test_a_clock_that_was_ahead_puts_off_no_round(tmp_path: Path) -> None:
    await filled(tmp_path)
    later = now() + 10**15
    await ScrubFile(tmp_path).save(ScrubState(finished=Round(begin_time=later, images=1, finish_time=later)))
    async with opened(tmp_path) as folder, Scrubbing(folder, days=1) as scrubbing:
        await until(lambda: 0 < scrubbing.scrub.state.finished.finish_time < later)


async def test_what_is_deleted_meanwhile_is_not_damaged(tmp_path: Path) -> None:
    await filled(tmp_path)
    async with opened(tmp_path) as folder:
        found = await folder.catalog.get_image("3")
        assert found

        async def read(size: int) -> None:
            if size and await folder.catalog.get_image("3"):
                await folder.delete("3")
                blob(tmp_path, contents()["3"]).unlink(missing_ok=True)

        assert await verifying.is_whole(found, folder.catalog, folder.store.blobs, read) in (True, None)
        assert await verifying.is_whole(found, folder.catalog, folder.store.blobs, read) is None


async def test_a_row_that_says_another_size_is_damage(tmp_path: Path) -> None:
    await filled(tmp_path)
    async with opened(tmp_path) as folder:
        found = await folder.catalog.get_image("1")
        assert found

        async def read(_: int) -> None: ...

        wrong = replace(found, size=found.size + 1)
        assert await verifying.is_whole(wrong, folder.catalog, folder.store.blobs, read) is False


async def test_an_image_of_which_row_and_bytes_are_damaged_ends_no_round(tmp_path: Path) -> None:
    data = await filled(tmp_path)
    async with opened(tmp_path) as folder, Scrubbing(folder) as scrubbing:
        damage(blob(tmp_path, data["3"]))
        await scrubbing.round()
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite3")) as catalog, catalog:
        catalog.execute("UPDATE images SET width = 9 WHERE id = '3'")
    async with opened(tmp_path) as folder, Scrubbing(folder) as scrubbing:
        state = await scrubbing.round()
        assert state.damaged.keys() == {"3"}


async def test_damaged_rows_are_known_until_they_are_mended(tmp_path: Path) -> None:
    await filled(tmp_path)

    def widen(image_id: str, by: int) -> None:
        with closing(sqlite3.connect(tmp_path / "catalog.sqlite3")) as catalog, catalog:
            catalog.execute("UPDATE images SET width = width + ? WHERE id = ?", (by, image_id))

    for image_id in ("2", "3", "4"):
        widen(image_id, 1)
    async with opened(tmp_path) as folder, Scrubbing(folder) as scrubbing:
        for _ in range(2):
            state = await scrubbing.round()
        assert sorted(scrubbing.said) == ["2's row", "3's row", "4's row"]
        assert state.finished.images == 4
        assert state.damaged.keys() == {"2", "3", "4"}
        assert scrubbing.number("conexiones.verify.damaged") == 3
    widen("3", -1)
    async with opened(tmp_path) as folder, Scrubbing(folder) as again:
        await folder.catalog.delete_image("4", now=9)
        state = await again.round()
        assert state.damaged.keys() == {"2"}
        assert again.said == []


@pytest.mark.usefixtures("soon")
async def test_damage_that_is_mended_is_forgotten_before_the_next_round(
    tmp_path: Path,
) -> None:
    data = await filled(tmp_path)
    for path in (blob(tmp_path, data["3"]), blob(tmp_path, data["4"]), tmp_path / "segments" / "00000000"):
        damage(path)
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite3")) as catalog, catalog:
        catalog.execute("UPDATE images SET width = 9 WHERE id = '2'")
    digests = {id: image(id, data[id]).digest.hex() for id in ("1", "3", "4")}
    finished = Round(begin_time=now(), images=4, finish_time=now())
    await ScrubFile(tmp_path).save(ScrubState(finished=finished, damaged=digests | {"2": ""}))
    async with opened(tmp_path) as folder, Scrubbing(folder, days=3650) as scrubbing:
        await folder.add("5", data["3"])
        await folder.delete("1")
        saved = tmp_path / "scrub.json"
        await until(lambda: (state := read(saved)) and state.damaged.keys() == {"2", "4"})
        assert scrubbing.scrub.state.finished == finished
        assert scrubbing.number("conexiones.verify.damaged") == 2
        assert scrubbing.said == []


@pytest.mark.usefixtures("soon")
async def test_a_row_that_is_known_from_before_it_was_damaged_is_not_taken_for_mended(
    tmp_path: Path,
) -> None:
    data = await filled(tmp_path)
    mended = {"3": image("3", data["3"]).digest.hex()}
    finished = Round(begin_time=now(), images=4, finish_time=now())
    await ScrubFile(tmp_path).save(ScrubState(finished=finished, damaged={"2": "", **mended}))
    async with opened(tmp_path) as folder:
        assert await folder.catalog.get_image("2")
        with closing(sqlite3.connect(tmp_path / "catalog.sqlite3")) as catalog, catalog:
            catalog.execute("UPDATE images SET width = 9 WHERE id = '2'")
        async with Scrubbing(folder, days=3650) as scrubbing:
            saved = tmp_path / "scrub.json"
            await until(lambda: (state := read(saved)) and "3" not in state.damaged)
            assert scrubbing.scrub.state.damaged == {"2": ""}


async def test_known_damage_is_looked_at_as_fast_as_all_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "LEAST_RATE", 1)
    data = await filled(tmp_path)
    mended = {"3": image("3", data["3"]).digest.hex()}
    await ScrubFile(tmp_path).save(ScrubState(damaged=mended))
    async with opened(tmp_path) as folder, Scrubbing(folder) as scrubbing:
        assert (await scrubbing.round()).damaged == {}


async def test_who_loses_the_duty_while_reading_saves_nothing(tmp_path: Path) -> None:
    data = await filled(tmp_path)
    mended = {"3": image("3", data["3"]).digest.hex()}
    await ScrubFile(tmp_path).save(ScrubState(damaged=mended))
    lost = asyncio.Event()

    class Lost(Duties):
        def has(self, name: str) -> bool:
            return not lost.is_set()

        async def gained(self, seconds: float | None = None) -> bool:
            gone.set()
            return await super().gained(seconds)

    class Read(NamedTuple):
        blobs: CheckedBlobs

        async def check(self, digest: bytes) -> AsyncIterator[int]:
            async for count in self.blobs.check(digest):
                yield count
            lost.set()

    gone = asyncio.Event()
    async with opened(tmp_path) as folder:
        scrub = Scrub(
            folder.catalog,
            Read(folder.store.blobs),
            ScrubFile(tmp_path),
            days=FAST,
            on_damage=lambda image, damage: None,
            duties=Lost(),
        )
        task = asyncio.create_task(scrub.run())
        await asyncio.wait_for(gone.wait(), DEADLINE)
        task.cancel()
    assert (await ScrubFile(tmp_path).load()).damaged == mended


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"crc": 1}', "\0"])
async def test_a_damaged_state_means_that_all_is_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "scrub.json").write_text(text)
    assert await ScrubFile(tmp_path).load() == ScrubState()


async def test_on_a_full_disk_all_is_read_too(tmp_path: Path) -> None:
    data = await filled(tmp_path)
    damage(blob(tmp_path, data["3"]))

    class Full(ScrubFile):
        async def save(self, state: ScrubState) -> None:
            raise StorageFull

    async with opened(tmp_path) as folder:
        scrubbing = Scrubbing(folder, log=Full(tmp_path))
        async with scrubbing:
            state = await scrubbing.round()
    assert (state.finished.images, [*state.damaged]) == (4, ["3"])
    assert scrubbing.said == ["3's bytes"]


async def test_nothing_is_written_into_another_folder(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    log = ScrubFile(root)
    await log.load()
    root.rename(tmp_path / "elsewhere")
    root.mkdir()
    with pytest.raises(StorageUnavailable):
        await log.save(ScrubState())
    assert list(root.iterdir()) == []


async def test_an_empty_server_has_nothing_to_read(tmp_path: Path) -> None:
    async with opened(tmp_path) as folder, Scrubbing(folder) as scrubbing:
        state = await scrubbing.round()
        assert state.finished.images == 0
        await folder.add("1", content(10, 1))
        state = await scrubbing.round()
        assert state.finished.images == 1
