"""Backups are complete, incremental, and of one moment; restored they are a data folder like any other."""

import asyncio
import errno
import os
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from conexiones.upkeep import new_folder, packs, restore
from conexiones.upkeep.backup import back_up
from conexiones.upkeep.repository import Repository
from tests.upkeep.folders import (
    LARGE,
    SMALL,
    Folder,
    asked,
    backed_up,
    blob,
    content,
    contents,
    damage,
    everything,
    filled,
    findings,
    image,
    opened,
    restored,
    run,
)


async def test_a_restored_backup_has_all_images_as_they_were(tmp_path: Path) -> None:
    data = await filled(tmp_path / "data")
    said = backed_up(tmp_path / "data", tmp_path / "backups")
    assert (said["images"], said["new_contents"], said["damaged"]) == (4, 4, 0)
    assert said["bytes"] == said["new_bytes"] == sum(map(len, data.values()))
    assert restored(tmp_path / "backups", tmp_path / "new")["ended_uploads"] == 1
    assert findings(tmp_path / "new") == (0, [])
    assert await everything(tmp_path / "new") == data
    async with opened(tmp_path / "new") as folder:
        assert await folder.catalog.get_image("3") == image("3", data["3"])
        upload = await folder.catalog.get_upload("upload")
        assert upload
        assert upload.state == "EXPIRED"
        # Nobody who watched the old server takes a new event for one that they have heard of.
        _, newest = await folder.catalog.event_range()
        await folder.add("5", content(SMALL, 5))
        assert await folder.catalog.event_range() == (newest, newest + 1)
        assert newest > 1 << 32
    assert findings(tmp_path / "new")[0] == 0


async def test_only_new_contents_are_copied(tmp_path: Path) -> None:
    root, dest = tmp_path / "data", tmp_path / "backups"
    await filled(root)
    backed_up(root, dest)
    assert backed_up(root, dest)["new_contents"] == 0
    async with opened(root) as folder:
        await folder.add("5", content(SMALL, 1))  # bytes that another image has
        await folder.add("6", content(SMALL, 6))
    said = backed_up(root, dest)
    assert (said["images"], said["new_contents"], said["new_bytes"]) == (6, 1, SMALL)


async def test_each_of_several_backups_can_be_restored_and_the_oldest_go(tmp_path: Path) -> None:
    root, dest = tmp_path / "data", tmp_path / "backups"
    data = await filled(root)
    names = [backed_up(root, dest)["backup"]]
    async with opened(root) as folder:
        await folder.delete("1")
        await folder.delete("3")
        await folder.add("5", content(LARGE, 5))
    names.append(backed_up(root, dest)["backup"])
    assert (await everything(root)).keys() == {"2", "4", "5"}
    restored(dest, tmp_path / "old", "--backup", names[0])
    assert await everything(tmp_path / "old") == data
    restored(dest, tmp_path / "new")
    assert (await everything(tmp_path / "new")).keys() == {"2", "4", "5"}
    listed = run("restore", dest, "--list").stdout.splitlines()
    assert [line.split()[0] for line in listed] == names
    said = backed_up(root, dest, "--keep", 1)
    assert said["removed"] == names
    restored(dest, tmp_path / "last")
    assert (await everything(tmp_path / "last")).keys() == {"2", "4", "5"}
    assert len(list((dest / "blobs").glob("??/*"))) == 2, "what was deleted has gone with the older backups"


async def test_packs_are_written_anew_when_little_of_them_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "PACK", 20_000)
    root, dest = tmp_path / "data", tmp_path / "backups"
    data = {f"{number:02}": content(SMALL, number) for number in range(40)}
    async with opened(root) as folder:
        for id, one in data.items():
            await folder.add(id, one)
    backed_up(root, dest, "--keep", 1)
    before = len(list((dest / "packs").iterdir()))
    assert before > 4
    async with opened(root) as folder:
        for id in list(data):
            if int(id) % 4:
                await folder.delete(id)
                del data[id]
    assert backed_up(root, dest, "--keep", 1)["new_contents"] == 0, "they come from the packs"
    assert len(list((dest / "packs").iterdir())) < before
    restored(dest, tmp_path / "new")
    assert await everything(tmp_path / "new") == data


async def test_many_small_packs_become_one(tmp_path: Path) -> None:
    root, dest = tmp_path / "data", tmp_path / "backups"
    async with opened(root) as folder:
        for number in range(packs.SMALL_PACKS + 2):
            await folder.add(f"{number:02}", content(SMALL, number))
            back_up(root, dest, keep=1)
        back_up(root, dest, keep=1)
    assert len(list((dest / "packs").iterdir())) <= 3
    restored(dest, tmp_path / "new")
    assert len(await everything(tmp_path / "new")) == packs.SMALL_PACKS + 2


async def test_an_image_that_is_deleted_meanwhile_is_in_no_backup(
    tmp_path: Path,
) -> None:
    """It is deleted when the catalog was copied, and its bytes were not."""
    root, dest = tmp_path / "data", tmp_path / "backups"
    data = await filled(root)
    async with opened(root) as folder:
        await folder.catalog.put_user("ana", pow=1, image=image("5", data["3"]), now=1)
    deleting: list[str] = ["1", "3", "5"]

    def progress(step: str, done: int, total: int) -> None:
        if step == "images" and deleting:

            async def delete() -> None:
                async with opened(root) as folder:
                    while deleting:
                        await folder.delete(deleting.pop())

            thread = threading.Thread(target=lambda: asyncio.run(delete()))
            thread.start()
            thread.join()

    copied = back_up(root, dest, keep=1, progress=progress)
    assert copied.deleted == 3
    assert copied.damaged == {}
    restored(dest, tmp_path / "new")
    assert findings(tmp_path / "new") == (0, [])
    assert await everything(tmp_path / "new") == {"2": data["2"], "4": data["4"]}
    async with opened(tmp_path / "new") as folder:
        ana = await folder.catalog.get_user("ana")
        assert ana
        assert ana.image_id is None


async def test_what_is_damaged_is_said_and_the_rest_is_backed_up(tmp_path: Path) -> None:
    root, dest = tmp_path / "data", tmp_path / "backups"
    data = await filled(root)
    backed_up(root, dest)
    async with opened(root) as folder:
        await folder.add("5", content(LARGE, 5))
        await folder.add("6", content(SMALL, 6))
    damage(blob(root, content(LARGE, 5)))
    damage(blob(root, data["3"]))  # an earlier backup has it
    result = run("backup", dest, "--data-dir", root)
    assert result.exit_code == 1
    assert (
        f"{blob(root, content(LARGE, 5)).relative_to(root)} is damaged, and is in no backup" in result.stderr
    )
    result = run("restore", dest, "--data-dir", tmp_path / "new")
    assert result.exit_code == 1
    assert "is not whole in the backup" in result.stderr
    found = await everything(tmp_path / "new")
    assert found == {**data, "5": None, "6": content(SMALL, 6)}


async def test_a_backup_that_is_damaged_is_mended(tmp_path: Path) -> None:
    root, dest = tmp_path / "data", tmp_path / "backups"
    data = await filled(root)
    backed_up(root, dest)
    assert run("verify", "--backup", dest).exit_code == 0
    digest = image("3", data["3"]).digest.hex()
    damage(dest / "blobs" / digest[:2] / digest)
    damage(dest / "packs" / "00000000", 200)
    result = run("verify", "--backup", dest)
    assert result.exit_code == 1
    assert f"damaged    content {digest}" in result.stdout
    assert "4 images" in result.stdout
    assert "2 faults" in result.stdout
    assert backed_up(root, dest)["mended"] == 0, "what is there is taken as it is"
    assert backed_up(root, dest, "--read-all")["mended"] == 2
    assert run("verify", "--backup", dest).exit_code == 0
    restored(dest, tmp_path / "new")
    assert await everything(tmp_path / "new") == data


async def test_a_content_that_is_damaged_in_the_data_folder_too_is_not_said_to_be_mended(
    tmp_path: Path,
) -> None:
    root, dest = tmp_path / "data", tmp_path / "backups"
    data = await filled(root)
    backed_up(root, dest)
    digest = image("3", data["3"]).digest.hex()
    damage(dest / "blobs" / digest[:2] / digest)
    damage(root / "blobs" / digest[:2] / digest)
    damage(dest / "packs" / "00000000", 200)
    result = run("backup", dest, "--data-dir", root, "--read-all")
    assert result.exit_code == 1
    assert f"blobs/{digest[:2]}/{digest} is damaged, and is in no backup" in result.stderr
    assert "new: 1, " in result.stdout
    assert f"; written anew, as they were damaged in {dest}: 1; not in it, " in result.stdout


async def test_a_content_that_is_nowhere_whole_is_named_by_each_backup(tmp_path: Path) -> None:
    root, dest = tmp_path / "data", tmp_path / "backups"
    await filled(root)
    backed_up(root, dest)
    damage(dest / "packs" / "00000000", 200)
    damage(root / "segments" / "00000000", 200)
    result = run("backup", dest, "--data-dir", root, "--read-all")
    assert result.exit_code == 1
    assert "segments/00000000, the record at 0 is damaged, and is in no backup" in result.stderr
    again = run("backup", dest, "--data-dir", root)
    assert again.exit_code == 1, "its damaged bytes in the pack are no copy"
    assert again.stderr == result.stderr
    lacking = "; not in it, as they were damaged: 1 content"
    assert lacking in again.stdout
    first, *others = run("restore", dest, "--list").stdout.splitlines()
    assert lacking not in first
    assert [line.endswith(lacking) for line in others] == [True, True]


async def test_a_damaged_catalog_is_not_backed_up_and_the_last_backup_stays(tmp_path: Path) -> None:
    root, dest = tmp_path / "data", tmp_path / "backups"
    data = await filled(root)
    name = backed_up(root, dest)["backup"]
    path = root / "catalog.sqlite3"
    (page,) = asked(path, "SELECT rootpage FROM sqlite_master WHERE name = 'images_by_digest'")[0]
    at = (page - 1) * 4096
    found = path.read_bytes()
    where = found.index(image("1", data["1"]).digest, at)
    damage(path, where + 5)
    result = run("backup", dest, "--data-dir", root)
    assert result.exit_code == 2
    assert "The catalog is damaged, and is not backed up" in result.stderr
    restored(dest, tmp_path / "new", "--backup", name)
    assert await everything(tmp_path / "new") == data


async def test_a_damaged_row_is_named_by_a_backup_and_by_its_verification(tmp_path: Path) -> None:
    root, dest = tmp_path / "data", tmp_path / "backups"
    await filled(root)
    assert run("backup", dest, "--data-dir", root).exit_code == 0
    with closing(sqlite3.connect(root / "catalog.sqlite3", isolation_level=None)) as catalog:
        catalog.execute("UPDATE images SET width = width + 1 WHERE id = '3'")
    said = run("backup", dest, "--data-dir", root)
    assert (said.exit_code, said.stderr.count("The row of image 3 is damaged")) == (1, 1)
    said = run("verify", "--backup", dest)
    assert (said.exit_code, said.stdout.count("image 3: Its row is not what was written")) == (1, 1)


async def test_a_restore_overwrites_nothing_and_takes_no_incomplete_backup(tmp_path: Path) -> None:
    root, dest = tmp_path / "data", tmp_path / "backups"
    await filled(root)

    def refused(*arguments: object) -> str:
        result = run("restore", *arguments)
        assert result.exit_code == 2
        (line,) = result.stderr.splitlines()
        return line

    assert refused(dest, "--data-dir", tmp_path / "new").endswith("backups has no backup.")
    with Repository(dest, identity=7):
        pass
    assert refused(dest, "--data-dir", tmp_path / "new").endswith("backups has no complete backup.")
    dest = tmp_path / "others"
    backed_up(root, dest)
    assert "is not empty: give a new folder, or an empty one." in refused(dest, "--data-dir", root)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "letter").touch()
    assert "is not empty: give a new folder, or an empty one." in refused(
        dest, "--data-dir", tmp_path / "used"
    )
    assert "has no backup tomorrow: it has" in refused(
        dest, "--data-dir", tmp_path / "new", "--backup", "tomorrow"
    )
    (backup,) = (dest / "backups").iterdir()
    damage(backup / "catalog.sqlite3", 5000)
    assert "catalog.sqlite3 is damaged" in refused(dest, "--data-dir", tmp_path / "new")
    damage(backup / "manifest.json", 30)
    assert f"The manifest of {backup.name} is damaged" in refused(dest, "--data-dir", tmp_path / "new")
    assert not (tmp_path / "new").exists()


async def test_no_server_starts_over_a_restore_that_was_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it was cut off: small images get their place at the end only."""
    await filled(tmp_path / "data")
    backed_up(tmp_path / "data", tmp_path / "backups")
    new = tmp_path / "new"
    for step in ("catalog_of_backup", "NewBlobs", "write_identity", "prepare_restored"):
        with monkeypatch.context() as cut:
            cut.setattr(restore, step, _cut_off)
            with pytest.raises(CutOff):
                restore.restore(tmp_path / "backups", new)
        store = Folder(new).store
        with pytest.raises(ValueError, match="is not complete: conexiones restore was interrupted there"):
            store.refuse_without(new / "catalog.sqlite3")
    with monkeypatch.context() as cut:
        cut.setattr(new_folder.NewFolder, "complete", _all_but_the_name)
        restore.restore(tmp_path / "backups", new)
    with pytest.raises(ValueError, match="is not complete: conexiones restore was interrupted there"):
        Folder(new).store.refuse_without(new / "catalog.sqlite3")
    restore.restore(tmp_path / "backups", new)
    assert findings(new) == (0, [])


class CutOff(Exception):
    pass


def _cut_off(*_: object) -> None:
    raise CutOff


def _all_but_the_name(folder: new_folder.NewFolder) -> None:
    (folder.data_dir / restore.RESTORING).unlink()


async def test_a_folder_of_backups_belongs_to_one_server_and_to_one_run(tmp_path: Path) -> None:
    root, dest = tmp_path / "data", tmp_path / "backups"
    await filled(root)
    await filled(tmp_path / "other")
    backed_up(root, dest)

    def refused(*arguments: object) -> str:
        result = run("backup", *arguments)
        assert result.exit_code == 2
        return result.stderr

    assert "has the backups of another server" in refused(dest, "--data-dir", tmp_path / "other")
    assert "is not empty, and has no backups" in refused(tmp_path / "other", "--data-dir", root)
    assert "cannot be within each other" in refused(root / "backups", "--data-dir", root)
    assert "There is no folder" in refused(dest, "--data-dir", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "has no catalog: is it a data folder?" in refused(dest, "--data-dir", tmp_path / "empty")
    with Repository(dest):
        assert "is in use by another run" in refused(dest, "--data-dir", root)


async def test_nobody_else_reads_a_backup(tmp_path: Path) -> None:
    await filled(tmp_path / "data")
    backed_up(tmp_path / "data", tmp_path / "backups")
    restored(tmp_path / "backups", tmp_path / "new")
    for folder in (tmp_path / "backups", tmp_path / "new"):
        for path in (folder, *folder.rglob("*")):
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode == (0o700 if path.is_dir() else 0o600), path


async def test_what_cannot_be_removed_is_said_and_the_backup_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, dest = tmp_path / "data", tmp_path / "backups"
    await filled(root)

    def refused(self: Repository, keep: int) -> list[str]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(dest / "backups/x"))

    with monkeypatch.context() as patch:
        patch.setattr(Repository, "prune", refused)
        result = run("backup", dest, "--data-dir", root)
    assert result.exit_code == 2
    assert f"is complete, but older backups cannot be removed: {dest}/backups/x: Perm" in result.stderr
    restored(dest, tmp_path / "new")
    assert (await everything(tmp_path / "new")).keys() == contents().keys()


async def test_a_damaged_manifest_keeps_no_newer_backup_from_being_made(tmp_path: Path) -> None:
    root, dest = tmp_path / "data", tmp_path / "backups"
    await filled(root)
    name = backed_up(root, dest)["backup"]
    damage(dest / "backups" / name / "manifest.json", 30)
    backed_up(root, dest)
    assert "its manifest is damaged" in run("restore", dest, "--list").stdout
    restored(dest, tmp_path / "new")
    assert (await everything(tmp_path / "new")).keys() == contents().keys()
