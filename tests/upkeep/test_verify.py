"""`conexiones verify` finds and names what is damaged, missing and left over; damage is never served."""

import random
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from conexiones.adapters.blobs.local import beside
from conexiones.adapters.renditions.cache import FileRenditions
from conexiones.adapters.scrub.file import ScrubFile
from conexiones.domain.access.secrets import TOKEN, mint
from conexiones.errors import ConexionesError
from conexiones.ports.records import ImageRecord, Rendered
from conexiones.ports.verifying import ScrubState
from conexiones.upkeep import pace, verify
from tests.support.lengths import examples
from tests.upkeep.folders import (
    MIB,
    SMALL,
    blob,
    content,
    damage,
    files,
    filled,
    findings,
    image,
    opened,
    run,
)

UNSEEN = {"catalog.sqlite3", "segments/index.sqlite3", "catalog.sqlite3.v8", "ballast", "scrub.json"}
"""Files with bytes that mean nothing, such as free space in a page of SQLite. Nobody reads the ballast, and
what the scrub remembers may be changed to something else that it could have remembered."""


@pytest.fixture(autouse=True)
def _nothing_changes_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(beside, "_ROWS", 1)


async def complete(root: Path) -> dict[str, bytes]:
    """Makes a folder with one file of every kind."""
    data = await filled(root)
    cache = FileRenditions(root, limit=MIB)
    await cache.open()

    async def make(path: Path) -> Rendered:
        return rendition(path)

    (await cache.add(image("1", data["1"]).digest, "abc", make)).close()
    await cache.close()
    await ScrubFile(root).save(ScrubState(damaged={"1": "ab"}))
    (root / "admin-token").write_text(mint(TOKEN))
    shutil.copy(root / "catalog.sqlite3", root / "catalog.sqlite3.v8")
    return data


async def test_a_whole_folder_has_no_fault(tmp_path: Path) -> None:
    await complete(tmp_path)
    before = {path: path.read_bytes() for path in files(tmp_path)}
    assert findings(tmp_path) == (0, [])
    assert {path: path.read_bytes() for path in files(tmp_path)} == before
    result = run("verify", "--data-dir", tmp_path)
    assert result.stdout == "4 images, 2.4 MB read: no faults\n"


def rendition(path: Path) -> Rendered:
    path.write_bytes(bytes(1000))
    return Rendered(format="PNG", width=1, height=1, frames=1, size=1000, sha256=bytes(32))


def flips(size: int, count: int) -> Iterator[int]:
    """Offsets in a file of that size: the first, the last, and some in between."""
    yield from {0, size - 1, *(random.randrange(size) for _ in range(count))}


async def test_a_flipped_byte_in_any_file_is_found_and_never_served(tmp_path: Path) -> None:
    root = tmp_path / "data"
    data = await complete(root)
    served = {"segments/00000000", str(blob(root, data["3"]).relative_to(root))}
    seen = set()
    for path in files(root):
        name = str(path.relative_to(root))
        for offset in flips(path.stat().st_size, examples(1)):
            damage(path, offset)
            status, found = findings(root)
            if status == 0:
                assert name in UNSEEN, f"the byte at {offset} of {name}"
            else:
                assert status in (1, 2), (name, offset)
                seen.add(name)
                assert all(one["kind"] in ("damaged", "missing", "left over") for one in found)
                assert status == 2 or named(name, found), (name, offset, found)
            if name in served or (name == "catalog.sqlite3" and offset % 4096 < 200):
                await serves_only_what_was_stored(root, tmp_path / "copy", data)
            damage(path, offset)
    assert findings(root) == (0, [])
    assert seen >= {str(path.relative_to(root)) for path in files(root)} - UNSEEN


def named(name: str, found: list[dict[str, str]]) -> bool:
    """Whether one of the findings names the file."""
    return any(name in f"{one['what']}: {one['says']}" for one in found)


async def serves_only_what_was_stored(root: Path, copy: Path, data: dict[str, bytes]) -> None:
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(root, copy)
    try:
        async with opened(copy) as folder:
            shown = await folder.catalog.list_images(limit=9, before=None, user=None, start=None, end=None)
            for one in shown:
                if one.id in data:
                    assert one == image(one.id, data[one.id])
                assert await folder.read(one.digest) in (None, *data.values())
            for id, bytes_ in data.items():
                assert await whole(folder.catalog.get_image, id) in (None, image(id, bytes_))
    except (ConexionesError, ValueError):
        pass  # the server does not start over it, or refuses the call


async def whole(get: Callable[..., object], id: str) -> ImageRecord | None:
    try:
        return await get(id)  # type: ignore[misc]
    except ConexionesError:
        return None


@pytest.mark.parametrize("where", ["end", "middle"])
async def test_a_missing_byte_in_any_file_is_found(tmp_path: Path, where: str) -> None:
    root = tmp_path / "data"
    await complete(root)
    unseen = set()
    for path in files(root):
        name = str(path.relative_to(root))
        whole = path.read_bytes()
        at = len(whole) - 1 if where == "end" else random.randrange(len(whole))
        path.write_bytes(whole[:at] + whole[at + 1 :])
        status, found = findings(root)
        if status == 0:
            unseen.add(name)
        else:
            assert status == 2 or named(name, found), (name, at, found)
        path.write_bytes(whole)
    assert unseen <= UNSEEN
    assert findings(root) == (0, [])


async def test_each_value_of_a_row_is_checked(tmp_path: Path) -> None:
    """Without checksums SQLite would see none of these."""
    await filled(tmp_path)
    path = tmp_path / "catalog.sqlite3"
    for column, value in {"size": 9, "format": "GIF", "width": 9, "frames": 9, "name": "other.png"}.items():
        with closing(sqlite3.connect(path, isolation_level=None)) as catalog:
            ((before,),) = catalog.execute(f"SELECT {column} FROM images WHERE id = '3'").fetchall()
            catalog.execute(f"UPDATE images SET {column} = ? WHERE id = '3'", (value,))
            status, found = findings(tmp_path)
            assert (status, [one["what"] for one in found]) == (1, ["image 3"])
            async with opened(tmp_path) as folder:
                shown = await folder.catalog.list_images(
                    limit=2, before=None, user=None, start=None, end=None
                )
                assert [one.id for one in shown] == ["4", "2"], "a page is as long as it can be"
                with pytest.raises(ConexionesError) as refused:
                    await folder.catalog.get_image("3")
                assert refused.value.reason == "BLOB_CORRUPT"
                news = await folder.catalog.news(after=0, limit=9)
                assert [one and one.id for _, one in news] == ["1", "2", None, "4"]
            catalog.execute(f"UPDATE images SET {column} = ? WHERE id = '3'", (before,))
    assert findings(tmp_path) == (0, [])


async def test_what_is_missing_is_named_with_its_image(tmp_path: Path) -> None:
    data = await filled(tmp_path)
    blob(tmp_path, data["3"]).unlink()
    status, found = findings(tmp_path)
    assert status == 1
    assert found[0]["kind"] == "missing"
    assert found[0]["what"] == "image 3"
    assert image("3", data["3"]).digest.hex() in found[0]["says"]
    assert [one["kind"] for one in found[1:]] == ["damaged"], "its checksums have no blob any more"


async def test_folders_of_others_keep_no_server_from_starting(tmp_path: Path) -> None:
    """Such as those that a file system has that is mounted there."""
    data = await complete(tmp_path)
    for name in ("uploads", "incoming", "segments", "blobs", "renditions/incoming"):
        (tmp_path / name / "lost+found").mkdir()
    (tmp_path / "segments" / "old-copy").touch()
    async with opened(tmp_path) as folder:
        for id in data:
            assert await folder.catalog.get_image(id)
    cache = FileRenditions(tmp_path, limit=MIB)
    await cache.open()
    await cache.close()
    assert findings(tmp_path) == (0, [])


async def test_what_is_left_over_is_no_fault(tmp_path: Path) -> None:
    await filled(tmp_path)
    orphan = blob(tmp_path, content(SMALL, "orphan"))
    orphan.write_bytes(content(SMALL, "orphan"))
    status, found = findings(tmp_path)
    assert (status, found[0]["kind"]) == (0, "left over")
    assert found[0]["what"] == str(orphan.relative_to(tmp_path))


async def test_an_image_that_the_index_has_lost_is_found_in_its_segment(tmp_path: Path) -> None:
    data = await filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / "segments" / "index.sqlite3", isolation_level=None)) as index:
        digest = image("2", data["2"]).digest
        assert index.execute("DELETE FROM records WHERE digest = ?", (digest,)).rowcount == 1
    status, found = findings(tmp_path)
    assert (status, found[0]["what"]) == (1, "segments/index.sqlite3")
    assert "It has lost image 2, which is in segments/00000000" in found[0]["says"]
    (tmp_path / "segments" / "index.sqlite3").unlink()
    async with opened(tmp_path) as folder:
        assert await folder.read(digest) == data["2"]
    assert findings(tmp_path) == (0, [])


async def test_bytes_that_are_stored_again_elsewhere_are_found(tmp_path: Path) -> None:
    data = content(SMALL, 1)
    digest = image("1", data).digest
    async with opened(tmp_path) as folder:
        await folder.add("1", data)
        blobs = beside.BlobsBeside(tmp_path)
        assert b"".join(blobs.pieces(digest)) == data
        await folder.delete("1")
        await folder.add("2", content(SMALL, 2))
        await folder.add("3", data)
        assert b"".join(blobs.pieces(digest)) == data
        await folder.delete("3")
        with pytest.raises(ConexionesError):
            list(blobs.pieces(digest))
        blobs.close()


async def test_a_damaged_frame_of_the_log_is_found_before_its_commits_are_lost(tmp_path: Path) -> None:
    """As a server leaves it that was killed: nobody has moved the log into the file."""
    async with opened(tmp_path / "data") as folder:
        for number in range(3):
            await folder.add(str(number), content(SMALL, number))
        shutil.copytree(folder.root, tmp_path / "killed")
    root = tmp_path / "killed"
    log = root / "catalog.sqlite3-wal"
    assert log.stat().st_size > 2 * 4096
    assert findings(root) == (0, [])
    whole = log.read_bytes()
    for offset in (0, 17, 32 + 8, 32 + 24 + 100):
        damage(log, offset)
        status, found = findings(root)
        assert status == 1
        assert (found[0]["kind"], found[0]["what"]) == ("damaged", "catalog.sqlite3-wal")
        log.write_bytes(whole)
        (root / "catalog.sqlite3-shm").unlink(missing_ok=True)
    log.write_bytes(whole[:-100] + bytes(100))  # torn, as by a commit that was cut off
    status, found = findings(root)
    assert [one["kind"] for one in found if one["what"] == "catalog.sqlite3-wal"] in (["note"], [])


async def test_nothing_is_said_of_a_folder_that_is_none(tmp_path: Path) -> None:
    for folder, says in {
        tmp_path / "nowhere": "There is no folder",
        tmp_path: "is it a data folder?",
    }.items():
        result = run("verify", "--data-dir", folder)
        assert (result.exit_code, result.stdout) == (2, "")
        assert says in result.stderr
    await filled(tmp_path / "data")
    with closing(sqlite3.connect(tmp_path / "data" / "catalog.sqlite3")) as catalog:
        catalog.execute("PRAGMA user_version = 1000")
    result = run("verify", "--data-dir", tmp_path / "data")
    assert result.exit_code == 2
    assert "has schema version 1000" in result.stderr
    (tmp_path / "data" / "catalog.sqlite3").unlink()
    assert findings(tmp_path / "data")[0] == 1


async def test_reading_can_be_slowed_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = await complete(tmp_path)
    paced: list[int] = []
    monkeypatch.setattr(pace.Pace, "take", lambda self, size: paced.append(size))
    result = run("verify", "--data-dir", tmp_path, "--rate", "1GB")
    assert result.exit_code == 0
    sought = re.compile(r"/renditions/|/uploads/[^.]*$|[.]v8$")
    beside_images = [path.stat().st_size for path in files(tmp_path) if sought.search(str(path))]
    assert len(beside_images) == 3
    assert sum(paced) >= sum(map(len, data.values())) + sum(beside_images) - MIB
    assert max(paced) <= MIB


def test_a_mistake_of_the_program_says_nothing_of_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "verify", lambda *_, **__: 1 // 0)
    result = run("verify", "--data-dir", tmp_path)
    assert result.exit_code == 2
    assert "ZeroDivisionError" in result.stderr


def test_no_rate_at_all_is_refused(tmp_path: Path) -> None:
    result = run("verify", "--data-dir", tmp_path, "--rate", "0")
    assert result.exit_code == 2
    assert "give at least 1" in result.output
