"""The index of the segments: lost, late, or not to be written."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from conexiones.adapters import segments
from conexiones.errors import StorageUnavailable
from conexiones.ports import Catalog
from tests.adapters.shop import InTheWriter, Make, Shop
from tests.adapters.stored import Foreign
from tests.adapters.test_blobs import content, gone
from tests.adapters.test_named import sha
from tests.server.calls import until


async def test_a_lost_index_is_made_again(shop: Shop) -> None:
    contents = [content(1000 + i) for i in range(20)]
    for data in contents:
        await shop.store(data)
    await shop.delete(sha(contents[3]))
    await shop.delete(sha(contents[4]))
    await shop.blobs.close()
    for path in (shop.root / "segments").glob("index.sqlite3*"):
        path.unlink()
    await shop.open()
    assert await shop.intact(*contents[:3], *contents[5:])
    assert await gone(shop.blobs, sha(contents[3]))
    await shop.store(contents[3])
    assert await shop.intact(contents[3])


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
    assert await gone(shop.blobs, sha(contents[1]))
    assert await shop.intact(*left)
    await shop.reopen()
    assert indexed(shop.root) == set(map(sha, left))
    assert await shop.intact(*left)


INDEX_FAILS = """
import sqlite3
from pathlib import Path
from conexiones.adapters.segment_index import SegmentIndex
add = SegmentIndex.add
def fail(*arguments):
    if Path({flag!r}).exists():
        raise sqlite3.OperationalError("injected")
    add(*arguments)
SegmentIndex.add = fail
"""


async def test_an_index_that_could_not_be_written_is_told_again(
    tmp_path: Path,
    catalog: Catalog,
    image: Make,
    in_the_writer: InTheWriter,
    caplog: pytest.LogCaptureFixture,
) -> None:
    flag = tmp_path / "failing"
    in_the_writer(INDEX_FAILS.format(flag=str(flag)))
    shop = Shop(tmp_path / "shop", Foreign(catalog), image)
    await shop.open()
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
    await shop.blobs.close()


DYING = """
import os, signal
from pathlib import Path
from conexiones.adapters.segment_appender import Appender
flag, real = Path({flag!r}), Appender.tell
def die(*arguments):
    if {told}:
        real(*arguments)
    if flag.exists():
        flag.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    real(*arguments)
Appender.tell = die
"""


@pytest.mark.parametrize("told", [False, True], ids=["before", "after"])
async def test_a_process_that_dies_when_it_tells_the_index_costs_nothing(
    tmp_path: Path, catalog: Catalog, image: Make, in_the_writer: InTheWriter, told: bool
) -> None:
    flag = tmp_path / "dying"
    in_the_writer(DYING.format(flag=str(flag), told=told))
    shop = Shop(tmp_path / "shop", Foreign(catalog), image)
    await shop.open()
    contents = [content(1000 + i) for i in range(20)]
    flag.touch()
    await asyncio.gather(*map(shop.store, contents[:-1]))
    await until(lambda: not flag.exists())
    await until(lambda: indexed(shop.root) == set(map(sha, contents[:-1])))
    async with asyncio.timeout(30):
        while True:
            try:
                await shop.store(contents[-1])
                break
            except StorageUnavailable:
                await asyncio.sleep(0)
    await shop.delete(sha(contents[3]))
    left = contents[:3] + contents[4:]
    assert await shop.intact(*left)
    await shop.reopen()
    assert indexed(shop.root) == set(map(sha, left))
    assert await shop.intact(*left)
    await shop.blobs.close()
