"""A catalog that the disk has changed: what is damaged is named, the rest is served and goes on, and a commit
that was cut off is no damage."""

import asyncio
import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from conexiones.adapters.blobs.local import beside
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.adapters.catalog.sqlite.catalog_file import CatalogFile
from conexiones.adapters.scrub.file import ScrubFile
from conexiones.adapters.system import sqlite_beside
from conexiones.domain import verifying
from conexiones.domain.verifying import Scrub
from conexiones.errors import BlobCorrupt, ConexionesError
from conexiones.ports.records import Facts
from conexiones.upkeep import stored_rows, verify
from tests.support.waiting import until
from tests.upkeep.folders import (
    SMALL,
    backed_up,
    content,
    damage,
    filled,
    findings,
    image,
    opened,
    run,
)

LOG = "catalog.sqlite3-wal"
FRAME = 24 + 4096


@pytest.fixture(autouse=True)
def _nothing_changes_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "SETTLE_SECONDS", 0.0)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "tmpfs", str(folder)]
    mount = subprocess.run(command, capture_output=True, text=True)
    if mount.returncode:
        refuse = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        refuse(f"a tmpfs cannot be mounted here: {mount.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def killed(root: Path) -> Path:
    """The log of a folder as a server leaves it that was killed: nobody has moved it into the file."""
    async with opened(root.parent / "running") as folder:
        for number in range(3):
            await folder.add(str(number), content(SMALL, number))
        shutil.copytree(folder.root, root)
    forget_index(root)
    return root / LOG


def forget_index(root: Path) -> None:
    (root / "catalog.sqlite3-shm").unlink(missing_ok=True)


def commits(log: Path) -> list[int]:
    """The offsets of the frames with which commits end."""
    data = log.read_bytes()
    salts = data[16:24]
    frames = [at for at in range(32, len(data), FRAME) if data[at + 8 : at + 16] == salts]
    return [at for at in frames if data[at + 4 : at + 8] != bytes(4)]


async def test_what_a_damaged_log_has_is_not_lost_without_a_word(tmp_path: Path) -> None:
    """SQLite takes from it what is before the damage, and the store removes what no row refers to then."""
    root = tmp_path / "data"
    log = await killed(root)
    whole = log.read_bytes()
    for offset in (17, commits(log)[-3] + 9, commits(log)[-2] + 24 + 100):
        log.write_bytes(whole)
        damage(log, offset)
        damaged = log.read_bytes()
        result = run("backup", tmp_path / "backups", "--data-dir", root)
        assert result.exit_code == 2
        assert f"{LOG} is damaged, and the catalog is not backed up" in result.stderr
        with pytest.raises(ValueError, match=rf"{LOG} is damaged, and what was stored last") as refused:
            await SqliteCatalog(root / "catalog.sqlite3").open()
        assert log.read_bytes() == damaged
    # What the sentence says to do.
    (size,) = re.findall(r"truncate -s (\d+)", str(refused.value))
    os.truncate(log, int(size))
    async with opened(root) as folder:
        assert [await folder.catalog.get_image(id) is not None for id in "012"] == [True, False, False]
    assert findings(root)[0] == 0


@pytest.mark.parametrize("frames", [1, 2])
async def test_a_commit_that_was_cut_off_is_no_damage(tmp_path: Path, frames: int) -> None:
    """By the loss of power: of its frames, the last ones may be on the disk, and those before them not."""
    root = tmp_path / "data"
    log = await killed(root)
    ends = commits(log)
    assert ends[-1] - ends[-2] > FRAME, "the last commit has several frames"
    with log.open("r+b") as file:
        file.seek(ends[-1] - (frames - 1) * FRAME)
        file.write(bytes(FRAME))
    status, found = findings(root)
    assert (status, [one["kind"] for one in found if one["what"] == LOG]) in ((0, ["note"]), (0, []))
    forget_index(root)
    async with opened(root) as folder:
        assert await folder.catalog.get_image("1")
        assert await folder.catalog.get_image("2") is None


async def test_a_name_that_is_no_text_any_more_is_damage_of_one_image(tmp_path: Path) -> None:
    """The driver of SQLite fails at such text, and with it whatever would read the row."""
    data = await filled(tmp_path / "data")
    catalog = tmp_path / "data" / "catalog.sqlite3"
    stored = catalog.read_bytes()
    # The name stands behind the time in a row of images.
    at = stored.index(b"3.png", stored.index(b"PNG"))
    catalog.write_bytes(stored[:at] + b"\xb3" + stored[at + 1 :])
    status, found = findings(tmp_path / "data")
    assert (status, [one["what"] for one in found]) == (1, ["image 3"])
    result = run("backup", tmp_path / "backups", "--data-dir", tmp_path / "data")
    assert (result.exit_code, "The row of image 3 is damaged" in result.stderr) == (1, True)
    async with opened(tmp_path / "data") as folder:
        asked: dict[str, Any] = {"limit": 9, "before": None, "user": None, "start": None, "end": None}
        for name in (None, ".png"):
            shown = await folder.catalog.list_images(**asked, name=name)
            assert [one.id for one in shown] == ["4", "2", "1"]
        with pytest.raises(BlobCorrupt):
            await folder.catalog.get_image("3")
        assert [id and id.id for _, id in await folder.catalog.news(after=0, limit=9)] == [
            "1",
            "2",
            None,
            "4",
        ]
        assert [intact for _, intact in await folder.catalog.every_image(before=None, limit=9)] == [
            True,
            False,
            True,
            True,
        ]
        # What is found out of its bytes makes no whole row of it.
        other = replace(image("3", data["3"]), width=77)
        facts = Facts(problem="CORRUPT")
        await folder.catalog.put_facts(other, facts, judge=1, now=9)
        with pytest.raises(BlobCorrupt):
            await folder.catalog.get_image("3")
        assert await folder.catalog.delete_image("3", now=9)
    status, found = findings(tmp_path / "data")
    assert status == 0


async def test_a_catalog_that_is_locked_is_not_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a server that stops, and moves a large log into the file."""
    monkeypatch.setattr(sqlite_beside, "BUSY_TIMEOUT", 10)
    await filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite3")) as stopping:
        stopping.execute("PRAGMA locking_mode = EXCLUSIVE")
        stopping.execute("BEGIN EXCLUSIVE")
        result = run("verify", "--data-dir", tmp_path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "database is locked" in result.stderr
    assert findings(tmp_path) == (0, [])


async def test_an_image_with_the_id_of_none_is_not_taken_for_another(tmp_path: Path) -> None:
    """SQLite then finds its row, the first of a page, where it looks for the one in the middle."""
    root = tmp_path / "data"
    async with opened(root) as folder:
        for number in range(1, 6):
            await folder.add(f"01a2000{number}", content(SMALL, number))
    catalog = root / "catalog.sqlite3"
    stored = catalog.read_bytes()
    at = next(found.start() for found in re.finditer(b"01a20001", stored) if b"PNG" in stored[at_(found)])
    catalog.write_bytes(stored[:at] + b"8" + stored[at + 1 :])
    status, found = findings(root)
    assert (status, {one["what"] for one in found if one["kind"] == "damaged"}) == (1, {"catalog.sqlite3"})
    async with opened(root) as folder:
        for number in range(1, 6):
            id = f"01a2000{number}"
            for attempt in (folder.catalog.get_image(id), folder.catalog.delete_image(id, now=9)):
                with suppress(ConexionesError):
                    one = await attempt
                    assert one is None or one == image(id, content(SMALL, number))


def at_(found: re.Match[bytes]) -> slice:
    """The bytes of a row of images that begins with an id."""
    return slice(found.start(), found.start() + 60)


@pytest.mark.parametrize("wrong", ["8", " "])
async def test_damaged_ids_end_all_that_goes_through_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setattr(verify, "_PAGE", 1)
    monkeypatch.setattr(verifying, "_PAGE", 1)
    monkeypatch.setattr(stored_rows, "_PAGE", 1)
    root = tmp_path / "data"
    async with opened(root) as folder:
        for number in range(1, 6):
            await folder.add(f"01a2000{number}", content(SMALL, number))
    catalog = root / "catalog.sqlite3"
    stored = catalog.read_bytes()
    for id in (b"01a20001", b"01a20003", b"01a20005"):
        at = next(found.start() for found in re.finditer(id, stored) if b"PNG" in stored[at_(found)])
        catalog.write_bytes(stored[:at] + wrong.encode() + stored[at + 1 :])
        assert findings(root)[0] == 1
        with closing(CatalogFile(catalog)) as file:
            assert stored_rows.damaged_rows(file) == []
        async with opened(root) as folder:
            scrub = Scrub(
                folder.catalog, folder.store.blobs, ScrubFile(root), days=1e-6, on_damage=lambda *_: None
            )
            running = asyncio.create_task(scrub.run())
            await until(partial(_has_finished, scrub))
            running.cancel()
        catalog.write_bytes(stored)


def _has_finished(scrub: Scrub) -> bool:
    return scrub.state.finished.finish_time > 0


async def test_a_folder_on_a_file_system_for_reading_is_verified_and_backed_up(small_disk: Path) -> None:
    """Such as a snapshot."""
    await filled(small_disk / "data")
    async with opened(small_disk.parent / "live") as folder:
        await folder.add("1", content(SMALL, 1))
        shutil.copytree(folder.root, small_disk / "killed")
    forget_index(small_disk / "killed")
    await asyncio.to_thread(subprocess.run, ["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert findings(small_disk / "data") == (0, [])
    backed_up(small_disk / "data", small_disk.parent / "backups")
    for command in ("verify",), ("backup", small_disk.parent / "others"):
        result = run(*command, "--data-dir", small_disk / "killed")
        assert (result.exit_code, result.stdout) == (2, "")
        assert "copy the folder" in result.stderr


async def test_a_letter_in_the_text_of_the_layout_is_damage(tmp_path: Path) -> None:
    """SQLite takes any text that it can parse: a column then has another name."""
    await filled(tmp_path)
    catalog = tmp_path / "catalog.sqlite3"
    stored = catalog.read_bytes()
    for name, table in (
        (b"pow INTEGER", "users"),
        (b"blur_hash TEXT", "facts"),
        (b"scopes TEXT", "credentials"),
    ):
        at = stored.rindex(name)
        catalog.write_bytes(stored[:at] + bytes([stored[at] ^ 0x83]) + stored[at + 1 :])
        status, found = findings(tmp_path)
        assert (status, found[0]["what"]) == (1, "catalog.sqlite3")
        assert f"the layout of {table} is not what was written" in found[0]["says"]
    result = run("backup", tmp_path.parent / "backups", "--data-dir", tmp_path)
    assert result.exit_code == 2
    assert "The catalog is damaged, and is not backed up" in result.stderr
