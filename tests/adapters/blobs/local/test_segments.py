"""Small blobs in segments: torn tails, damage, space given back, disks that fail."""

import asyncio
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from conexiones.adapters.blobs.local import segment_appender
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.adapters.writer.ring import SIZE
from conexiones.errors import BlobCorrupt, StorageFull, StorageUnavailable
from conexiones.ports.catalog import Catalog
from tests.adapters.blobs.contents import content, fill, gone, sha, tell_nobody, whole
from tests.adapters.blobs.local.shop import InTheWriter, Make, Shop, ShopThatRuns
from tests.adapters.stored import records
from tests.support.waiting import until


def change(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


async def test_the_same_bytes_are_one_record(shop: Shop) -> None:
    data = content(10_000)
    await asyncio.gather(*(fill(shop.staging.stage(), data) for _ in range(4)))
    staged = [await fill(shop.staging.stage(), data) for _ in range(8)]
    assert set(await asyncio.gather(*(one.publish(tell_nobody) for one in staged))) == {sha(data)}
    assert records(shop.root) == {sha(data).hex(): 10_000}
    assert shop.segment.stat().st_size == 48 + 10_000
    for one in staged[1:]:
        await one.discard()
    assert await whole(shop, sha(data)) == data, "the first still refers to it"
    await staged[0].discard()
    assert records(shop.root) == {}


WATCHED = """
import os
real = os.pwritev
def watch(descriptor, parts, offset, flags):
    with open({path!r}, "a") as calls:
        calls.write(f"{{len(parts)}} {{flags == os.RWF_DSYNC}}\\n")
    return real(descriptor, parts, offset, flags)
os.pwritev = watch
"""


async def test_what_comes_in_at_once_is_written_and_synced_at_once(
    tmp_path: Path, shop_that_runs: ShopThatRuns
) -> None:
    """Only a power cut would show that it is not synced. So the calls of the process are watched."""
    shop = await shop_that_runs(WATCHED.format(path=str(tmp_path / "calls")))
    staged = [await fill(shop.staging.stage(), content(1000, i)) for i in range(100)]
    await asyncio.gather(*(one.publish(tell_nobody) for one in staged))
    calls = [line.split() for line in (tmp_path / "calls").read_text().splitlines()]
    assert 0 < len(calls) < 50, "groups"
    assert sum(int(parts) for parts, _ in calls) >= 200, "a head and the bytes of each"
    assert {synced for _, synced in calls} == {"True"}
    await asyncio.gather(*(one.discard() for one in staged))


LARGE_WATCHED = """
import fcntl, os
def watch(name):
    real = getattr(os, name)
    def call(descriptor, *arguments):
        direct = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT
        with open({path!r}, "a") as calls:
            calls.write("s" if name == "fdatasync" else "D" if direct else "w")
        return real(descriptor, *arguments)
    setattr(os, name, call)
watch("pwritev")
watch("fdatasync")
"""


async def test_many_bytes_at_once_go_past_the_page_cache_and_are_synced(
    tmp_path: Path, shop_that_runs: ShopThatRuns
) -> None:
    shop = await shop_that_runs(LARGE_WATCHED.format(path=str(tmp_path / "calls")))
    small, large = content(1000), [content(100_000, i) for i in range(24)]
    await shop.store(small)  # so the next begin where no block does
    await asyncio.gather(*map(shop.store, large[:12]))
    await asyncio.gather(*map(shop.store, large[12:]))
    calls = (tmp_path / "calls").read_text()
    # Twelve are one group, or more if this process was held up while it gave them.
    assert re.fullmatch(r"(w*Dw?s){2,}w*", calls), calls
    assert await shop.intact(small, *large)
    await shop.reopen()
    assert await shop.intact(small, *large)


async def test_who_comes_alone_finds_zeros_to_write_over(shop: Shop) -> None:
    """The zeros are there as long as the segment is open, so the file does not grow with each blob."""
    await shop.store(content(1000))
    await shop.store(content(2000))
    # The zeros are written after the caller has its answer.
    await until(lambda: shop.segment.stat().st_size >= segment_appender.ZEROS)
    size = shop.segment.stat().st_size
    await shop.store(content(4000))
    assert shop.segment.stat().st_size == size
    await shop.close()
    assert shop.segment.stat().st_size == 7000 + 3 * 48
    change(shop.segment, shop.segment.stat().st_size, bytes(segment_appender.ZEROS))  # as a crash leaves it
    await shop.open()
    await shop.store(content(3000))
    await shop.reopen()
    assert await shop.intact(*(content(size) for size in (1000, 2000, 3000, 4000)))


@pytest.mark.parametrize("torn", [b"C", b"CXBL\0\0\0\0" + bytes(40), b"x" * 5000])
async def test_a_torn_tail_is_cut_off(shop: Shop, torn: bytes) -> None:
    before = content(5000)
    await shop.store(before)
    await shop.close()
    size = shop.segment.stat().st_size
    change(shop.segment, size, torn)
    await shop.open()
    assert shop.segment.stat().st_size == size
    await shop.store(content(6000))
    assert await shop.intact(before, content(6000))
    await shop.reopen()
    assert await shop.intact(before, content(6000))


async def test_half_a_record_at_the_end_is_cut_off(shop: Shop) -> None:
    await shop.store(content(5000))
    await shop.close()
    whole_record = shop.segment.read_bytes()
    for half in (whole_record[:20], whole_record[:48], whole_record[:-1]):
        change(shop.segment, len(whole_record), half)
        await shop.open()
        assert shop.segment.stat().st_size == len(whole_record)
        await shop.close()
    await shop.open()


async def test_what_the_catalog_was_never_told_of_goes_with_the_next_start(
    shop: Shop, tmp_path: Path, catalog: Catalog, image: Make
) -> None:
    await shop.store(content(3000))
    staged = await fill(shop.staging.stage(), content(4000))
    await staged.publish(tell_nobody)
    await shop.store(content(5000))
    await shop.close()
    assert len(records(shop.root)) == 3
    await shop.open()
    assert set(records(shop.root)) == {sha(content(3000)).hex(), sha(content(5000)).hex()}
    assert await gone(shop, sha(content(4000)))


@pytest.mark.parametrize("lost", [False, True], ids=["index kept", "index lost"])
async def test_damage_costs_one_record_and_is_never_served(shop: Shop, lost: bool) -> None:
    contents = [content(1000, i) for i in range(5)]
    for data in contents:
        await shop.store(data)
    await shop.close()
    change(shop.segment, 1 * 1048 + 500, b"?")  # bytes of the second
    change(shop.segment, 3 * 1048, b"\0" * 48)  # the head of the fourth
    if lost:
        (shop.root / "segments" / "index.sqlite3").unlink()
    await shop.open()
    assert await shop.intact(contents[0], contents[2], contents[4])
    with pytest.raises(BlobCorrupt):
        await whole(shop, sha(contents[1]))
    for healed in (contents[1], contents[3]):
        assert await shop.store(healed) == sha(healed)
        assert await shop.intact(healed)
    await shop.reopen()
    assert await shop.intact(*contents)


@pytest.mark.parametrize("state", [b"L", b"D"], ids=["live", "deleted"])
async def test_what_looks_like_a_record_inside_of_a_damaged_one_hides_no_other(
    shop: Shop, state: bytes
) -> None:
    """An image may contain the bytes of a record. Once its own head is damaged, they are found."""
    size = 2000 if state == b"L" else 1 << 40
    facts = struct.pack(">Q32s", size, sha(content(2000)))
    fake = b"CXB" + state + struct.pack(">I", zlib.crc32(facts)) + facts + content(2000)
    await shop.store(b"x" * 100 + fake + b"y" * 100)
    await shop.store(content(3000))
    await shop.close()
    change(shop.segment, 0, b"\0")
    (shop.root / "segments" / "index.sqlite3").unlink()
    await shop.open()
    assert await shop.intact(content(3000))
    assert await gone(shop, sha(content(2000)))
    await shop.store(content(4000))
    await shop.reopen()
    assert await shop.intact(content(3000), content(4000))


async def test_deleting_gives_the_space_back(shop: Shop) -> None:
    contents = [content(200_000, i) for i in range(10)]
    for data in contents:
        await shop.store(data)
    full = shop.segment.stat().st_blocks * 512
    assert full >= 2_000_000
    for data in contents[:-1]:
        await shop.delete(sha(data))
    await shop.close()
    assert shop.segment.stat().st_blocks * 512 < 220_000
    await shop.open()
    assert await shop.intact(contents[-1])
    assert set(records(shop.root)) == {sha(contents[-1]).hex()}


async def test_a_full_segment_goes_with_its_last_record(shop_that_runs: ShopThatRuns) -> None:
    shop = await shop_that_runs(
        "import conexiones.adapters.blobs.local.segment_appender as appender; appender.SEGMENT = 10_000"
    )
    contents = [content(4000, i) for i in range(7)]
    for data in contents:
        await shop.store(data)
    names = sorted(path.name for path in (shop.root / "segments").glob("????????"))
    assert names == ["00000000", "00000001", "00000002"]
    for data in contents[:3]:
        await shop.delete(sha(data))
    assert not shop.segment.exists()
    assert await shop.intact(*contents[3:])
    await shop.reopen()
    await shop.store(contents[0])
    assert await shop.intact(contents[0], *contents[3:])
    for data in (contents[0], *contents[3:]):
        await shop.delete(sha(data))
    await shop.reopen()
    assert records(shop.root) == {}
    assert len(list((shop.root / "segments").glob("????????"))) == 1


FAILING = """
import errno, os
from pathlib import Path
flag, failing = Path({flag!r}), {failing!r}
pwritev, real = os.pwritev, getattr(os, failing)
def write_some(descriptor, parts, *arguments):
    return pwritev(descriptor, parts[:1] if flag.exists() else parts, *arguments)
def fail(*arguments):
    if flag.exists():
        raise OSError(errno.EIO, "injected")
    return real(*arguments)
os.pwritev = write_some  # the other two are called after it
setattr(os, failing, fail)
"""


@pytest.mark.parametrize("shared", [False, True], ids=["two steps", "one step"])
@pytest.mark.parametrize(
    ("failing", "size"),
    [("pwritev", 2000), ("pwrite", 2000), ("fdatasync", 2000), ("pwritev", 100_000), ("fdatasync", 100_000)],
)
async def test_a_group_that_was_not_written_is_not_there(
    tmp_path: Path,
    new_catalog: Callable[[], SqliteCatalog],
    image: Make,
    in_the_writer: InTheWriter,
    failing: str,
    size: int,
    shared: bool,
) -> None:
    """The larger blobs go past the page cache."""
    flag = tmp_path / "failing"
    in_the_writer(FAILING.format(flag=str(flag), failing=failing))
    catalog = new_catalog()
    await catalog.open()
    shop = Shop(tmp_path / "shop", catalog, image, writer=catalog.writer if shared else None)
    await shop.open()
    await shop.store(content(1000))
    flag.touch()
    group = [content(size, i) for i in range(12)]
    for _ in range(3):
        for told in await asyncio.gather(*map(shop.store, group), return_exceptions=True):
            assert isinstance(told, StorageUnavailable)
        for data in group:
            assert await gone(shop, sha(data))
            assert not await catalog.has_digest(sha(data))
    flag.unlink()
    await shop.store(group[1])
    assert await shop.intact(content(1000), group[1])
    await shop.reopen()
    assert await shop.intact(content(1000), group[1])
    assert set(records(shop.root)) == {sha(content(1000)).hex(), sha(group[1]).hex()}
    await shop.close()
    await catalog.close()


@pytest.mark.parametrize("known", [False, True], ids=["new bytes", "known bytes"])
async def test_an_image_that_the_catalog_refuses_leaves_no_bytes(
    tmp_path: Path, catalog: SqliteCatalog, image: Make, known: bool
) -> None:
    shop = Shop(tmp_path / "shop", catalog, image, writer=catalog.writer)
    await shop.open()
    await shop.store(content(1000))
    await catalog.add_image(image("taken"))

    async def refused(digest: bytes) -> None:
        await catalog.add_image(image("taken", digest=digest))

    data = content(1000 if known else 2000)
    staged = await fill(shop.staging.stage(), data)
    with pytest.raises(StorageUnavailable):
        await staged.publish(refused)
    await staged.discard()
    assert set(records(shop.root)) == {sha(content(1000)).hex()}
    assert await shop.intact(content(1000))
    await shop.close()


async def test_what_is_never_added_is_never_written(shop: Shop) -> None:
    async def leave(digest: bytes) -> None:
        raise LookupError

    staged = await fill(shop.staging.stage(), content(1000))
    with pytest.raises(LookupError):
        await staged.publish(leave)
    await staged.discard()
    assert records(shop.root) == {}
    await shop.store(content(1000))
    assert await shop.intact(content(1000))


async def test_twins_that_are_added_at_once_are_one_record(shop: Shop) -> None:
    await asyncio.gather(*(shop.store(content(10_000)) for _ in range(50)))
    assert records(shop.root) == {sha(content(10_000)).hex(): 10_000}
    assert await shop.intact(content(10_000))


async def test_more_than_fits_into_the_shared_memory_waits_for_room(shop: Shop) -> None:
    contents = [content(200_000, i) for i in range(100)]
    assert sum(map(len, contents)) > 2 * SIZE
    await asyncio.gather(*map(shop.store, contents))
    assert await shop.intact(*contents)


async def _store_until_full(shop: Shop) -> None:
    for i in range(10):
        try:
            await shop.store(content(100_000, 10 + i))
        except StorageFull:
            return
    raise AssertionError("the disk is not full")


async def test_a_full_disk_refuses_and_goes_on_with_space(
    small_disk: Path, fill_disk: Callable[[Path], None], catalog: Catalog, image: Make
) -> None:
    shop = Shop(small_disk / "shop", catalog, image)
    await shop.open()
    await shop.store(content(100_000))
    fill_disk(small_disk / "filler")
    await _store_until_full(shop)  # the zeros behind the first are room for a few
    for i in range(5):
        staged = await fill(shop.staging.stage(), content(200_000, i + 1))
        with pytest.raises(StorageFull):
            await staged.publish(tell_nobody)
        await staged.discard()
    assert await shop.intact(content(100_000))
    (small_disk / "filler").unlink()
    await shop.store(content(200_000, 1))
    await shop.reopen()
    assert await shop.intact(content(100_000), content(200_000, 1))
    await shop.close()


async def test_close_finishes_what_waits(shop: Shop) -> None:
    staged = [await fill(shop.staging.stage(), content(1000, i)) for i in range(50)]
    publishing = [asyncio.ensure_future(one.publish(tell_nobody)) for one in staged]
    await asyncio.sleep(0)
    await shop.close()
    assert len(await asyncio.gather(*publishing)) == 50
    await shop.open()
    assert records(shop.root) == {}, "the catalog was told of none"
