"""Folders of backups as others have left them: of other versions, damaged, with files of their own, or
changed by somebody who wants harm."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from conexiones.errors import BlobCorrupt
from conexiones.upkeep.repository import Repository
from tests.upkeep.folders import (
    backed_up,
    changed,
    damage,
    everything,
    filled,
    findings,
    opened,
    restored,
    run,
)


async def test_backups_of_an_earlier_version_stay_and_can_be_restored(tmp_path: Path) -> None:
    root, dest = tmp_path / "data", tmp_path / "backups"
    data = await filled(root)
    name = backed_up(root, dest)["backup"]
    with changed(dest / "backups" / name) as catalog:
        catalog.execute("ALTER TABLE images DROP COLUMN checksum")
        catalog.execute("PRAGMA user_version = 8")
    assert run("verify", "--backup", dest).exit_code == 0
    backed_up(root, dest)
    restored(dest, tmp_path / "new", "--backup", name)
    assert await everything(tmp_path / "new") == data  # the server has migrated it
    with changed(dest / "backups" / name) as catalog:
        catalog.execute("PRAGMA user_version = 1000")
    result = run("restore", dest, "--data-dir", tmp_path / "other", "--backup", name)
    assert (result.exit_code, "use the newer one" in result.output) == (2, True)


@pytest.mark.parametrize("offset", [None, 4, 200])
async def test_a_damaged_catalog_of_an_old_backup_keeps_no_new_one_from_being_made(
    tmp_path: Path, offset: int | None
) -> None:
    root, dest = tmp_path / "data", tmp_path / "backups"
    await filled(root)
    catalog = dest / "backups" / backed_up(root, dest)["backup"] / "catalog.sqlite3"
    if offset is None:
        catalog.unlink()
    else:
        damage(catalog, offset)
    backed_up(root, dest)
    restored(dest, tmp_path / "new")
    assert findings(tmp_path / "new") == (0, [])


async def test_images_of_a_backup_stay_that_cannot_be_read_now(tmp_path: Path) -> None:
    root, dest = tmp_path / "data", tmp_path / "backups"
    data = await filled(root)
    name = backed_up(root, dest)["backup"]
    manifest = dest / "backups" / name / "manifest.json"
    manifest.rename(tmp_path / "kept")
    manifest.mkdir()  # reading it fails as it does on a disk that hangs, or for want of a right
    async with opened(root) as folder:
        for id in ("1", "3"):
            await folder.delete(id)
    for _ in range(2):
        backed_up(root, dest, "--keep", 1)
    manifest.rmdir()
    (tmp_path / "kept").rename(manifest)
    restored(dest, tmp_path / "new", "--backup", name)
    assert await everything(tmp_path / "new") == data


async def test_a_manifest_says_what_manifests_say_or_is_damaged(tmp_path: Path) -> None:
    root, dest = tmp_path / "data", tmp_path / "backups"
    await filled(root)
    backup = dest / "backups" / backed_up(root, dest)["backup"]
    manifest = backup / "manifest.json"
    written = manifest.read_bytes()
    with changed(backup, later=1):
        pass
    assert "damaged" not in run("restore", dest, "--list").output
    for field, value in (("images", None), ("images", "1"), ("time", 5), ("damaged", {})):
        manifest.write_bytes(written)
        with changed(backup, **{field: value}):
            pass
        listed = run("restore", dest, "--list")
        assert (listed.exit_code, "manifest is damaged" in listed.output) == (0, True), field
    for data in (b"", b"[" * 100_000, b"{}", b'{"sha256": []}', b"\xff"):
        manifest.write_bytes(data)
        assert "manifest is damaged" in run("restore", dest, "--list").output
        result = run("restore", dest, "--data-dir", tmp_path / "new")
        assert (result.exit_code, "is damaged" in result.output) == (2, True)
    backed_up(root, dest)


async def test_files_of_others_in_the_folder_do_no_harm_and_stay(tmp_path: Path) -> None:
    root, dest = tmp_path / "data", tmp_path / "backups"
    data = await filled(root)
    backed_up(root, dest)
    names = ("packs/.DS_Data", "packs/x.unfinished", "blobs/.DS_Store", "blobs/ab/x", "backups/x", "x")
    for name in names:
        (dest / name).write_text("x")
    (dest / "removed-by-me").mkdir()
    (dest / "unfinished/folder").mkdir(parents=True)
    backed_up(root, dest, "--keep", 1)
    assert all((dest / name).exists() for name in (*names, "removed-by-me"))
    restored(dest, tmp_path / "new")
    assert await everything(tmp_path / "new") == data


async def test_nothing_is_removed_behind_a_symbolic_link(tmp_path: Path) -> None:
    root, dest, other = tmp_path / "data", tmp_path / "backups", tmp_path / "other"
    await filled(root)
    backed_up(root, dest)
    other.mkdir()
    (other / ("ab" * 32)).write_text("precious")
    for name in ("unfinished", "packs", "blobs/ab", "blobs", "backups"):
        (dest / name).mkdir(exist_ok=True)
        (dest / name).rename(tmp_path / "moved")
        (dest / name).symlink_to(other)
        result = run("backup", dest, "--data-dir", root)
        assert (result.exit_code, "is a symbolic link" in result.output) == (2, True), name
        assert [path.name for path in other.iterdir()] == ["ab" * 32], name
        (dest / name).unlink()
        (tmp_path / "moved").rename(dest / name)


async def test_a_digest_that_is_none_is_no_path(tmp_path: Path) -> None:
    root, dest = tmp_path / "data", tmp_path / "backups"
    await filled(root)
    backup = dest / "backups" / backed_up(root, dest)["backup"]
    for digest in ("x'00'", "'../../../../evil'", "NULL", "zeroblob(33)"):
        with changed(backup) as catalog:
            catalog.execute("CREATE TABLE changed AS SELECT * FROM images")
            catalog.execute(f"UPDATE changed SET digest = {digest} WHERE id = '3'")
            catalog.execute("DROP TABLE images")
            catalog.execute("ALTER TABLE changed RENAME TO images")
        for arguments in (("verify", "--backup", dest), ("restore", dest, "--data-dir", tmp_path / "new")):
            result = run(*arguments)
            assert (result.exit_code, "cannot be read" in result.output) == (2, True), result.output
        assert not (tmp_path / "new/catalog.sqlite3").exists()
    backed_up(root, dest)


async def test_a_data_folder_and_a_folder_of_backups_are_apart(tmp_path: Path) -> None:
    root, dest = tmp_path / "data", tmp_path / "backups"
    await filled(root)
    backed_up(root, dest)
    (tmp_path / "link").symlink_to(dest)
    for folder in (dest / "new", dest / "unfinished/new", tmp_path / "link/new", tmp_path):
        result = run("restore", dest, "--data-dir", folder)
        assert (result.exit_code, "within each other" in result.output) == (2, True), folder
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for arguments in (("backup", tmp_path / "loop", "--data-dir", root), ("restore", tmp_path / "loop")):
        result = run(*arguments, *(() if "--data-dir" in arguments else ("--data-dir", tmp_path / "new")))
        assert (result.exit_code, result.output.count("\n")) == (2, 1), result.output


def test_what_a_row_says_less_of_than_there_is_takes_no_memory(tmp_path: Path) -> None:
    taken = 0

    def pieces() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield bytes(1 << 20)

    with Repository(tmp_path, identity=1) as repository, pytest.raises(BlobCorrupt):
        list(repository.add(hashlib.sha256().digest(), pieces(), 3000))
    assert taken == 1
