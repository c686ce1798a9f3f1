"""The index of the segments: lost, late, or not to be written."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from conexiones.adapters.blobs.local import segments
from conexiones.errors import StorageUnavailable
from tests.adapters.blobs.contents import content, gone, sha
from tests.adapters.blobs.local.shop import Shop, ShopThatRuns, dying
from tests.support.waiting import surely, until


async def test_a_lost_index_is_made_again(shop: Shop) -> None:
    contents = [content(1000 + i) for i in range(20)]
    for data in contents:
        await shop.store(data)
    await shop.delete(sha(contents[3]))
    await shop.delete(sha(contents[4]))
    await shop.close()
    for path in (shop.root / "segments").glob("index.sqlite3*"):
        path.unlink()
    await shop.open()
    assert await shop.intact(*contents[:3], *contents[5:])
    assert await gone(shop, sha(contents[3]))
    await shop.store(contents[3])
    assert await shop.intact(contents[3])


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE sqlite_master SET sql = replace(sql, '1), segment', '1), regment')",
        "UPDATE sqlite_master SET rootpage = 1 WHERE name = 'records'",
        "DELETE FROM records WHERE segment = 0",
    ],
)
async def test_a_damaged_index_is_made_again(
    shop_that_runs: ShopThatRuns, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    """A segment whose records it has lost is not taken for one that nobody needs."""
    shop = await shop_that_runs(
        "import conexiones.adapters.blobs.local.segment_appender as appender; appender.SEGMENT = 10_000"
    )
    contents = [content(4000 + i) for i in range(8)]
    for data in contents:
        await shop.store(data)
    await shop.close()
    assert len(list((shop.root / "segments").glob("0*"))) > 2
    with closing(sqlite3.connect(shop.root / "segments" / "index.sqlite3", isolation_level=None)) as index:
        index.execute("PRAGMA writable_schema = ON")
        index.execute(damage)
    await shop.open()
    assert "The index of small images cannot be used, and is made anew" in caplog.text
    assert await shop.intact(*contents)
    await shop.reopen()
    assert await shop.intact(*contents)
    assert caplog.text.count("is made anew") == 1


def indexed(root: Path) -> set[bytes]:
    """The digests in the index."""
    with closing(sqlite3.connect(root / "segments" / "index.sqlite3")) as connection:
        return {digest for (digest,) in connection.execute("SELECT digest FROM records")}


async def test_what_is_deleted_before_the_index_knows_of_it_does_not_get_there(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "TOLD_SECONDS", 3600)
    contents = [content(1000 + i) for i in range(5)]
    for data in contents:
        await shop.store(data)
    assert indexed(shop.root) == set()
    await shop.delete(sha(contents[1]))
    await shop.delete(sha(contents[4]))
    left = [contents[0], *contents[2:4]]
    assert await gone(shop, sha(contents[1]))
    assert await shop.intact(*left)
    await shop.reopen()
    assert indexed(shop.root) == set(map(sha, left))
    assert await shop.intact(*left)


INDEX_FAILS = """
import sqlite3
from pathlib import Path
from conexiones.adapters.blobs.local.segment_index import SegmentIndex
add = SegmentIndex.add
def fail(*arguments):
    if Path({flag!r}).exists():
        raise sqlite3.OperationalError("injected")
    add(*arguments)
SegmentIndex.add = fail
"""


async def test_an_index_that_could_not_be_written_is_told_again(
    tmp_path: Path, shop_that_runs: ShopThatRuns, caplog: pytest.LogCaptureFixture
) -> None:
    flag = tmp_path / "failing"
    shop = await shop_that_runs(INDEX_FAILS.format(flag=str(flag)))
    flag.touch()
    first, second = content(1000), content(2000)
    await shop.store(first)
    await until(lambda: "index of the segments could not be written" in caplog.text)
    assert await shop.intact(first)
    with pytest.raises(StorageUnavailable):
        await shop.delete(sha(first))
    flag.unlink()
    await shop.store(second)
    await until(lambda: indexed(shop.root) == {sha(first), sha(second)})
    assert await shop.intact(first, second)


@pytest.mark.parametrize("told", [False, True], ids=["before", "after"])
async def test_a_process_that_dies_when_it_tells_the_index_costs_nothing(
    tmp_path: Path, shop_that_runs: ShopThatRuns, told: bool
) -> None:
    flag = tmp_path / "dying"
    get = "from conexiones.adapters.blobs.local.segment_appender import Appender"
    shop = await shop_that_runs(dying(flag, get, "tell", before=not told))
    contents = [content(1000 + i) for i in range(20)]
    flag.touch()
    await asyncio.gather(*map(shop.store, contents[:-1]))
    await until(lambda: not flag.exists())
    await until(lambda: indexed(shop.root) == set(map(sha, contents[:-1])))
    await surely(lambda: shop.store(contents[-1]))
    await shop.delete(sha(contents[3]))
    left = contents[:3] + contents[4:]
    assert await shop.intact(*left)
    await shop.reopen()
    assert indexed(shop.root) == set(map(sha, left))
    assert await shop.intact(*left)
