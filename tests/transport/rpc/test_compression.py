"""gzip, within the limit of a message: short ones on the event loop, long ones in a thread."""

import gzip
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conexiones.errors import MalformedRequest
from conexiones.transport.rpc.compression import inflate

LIMIT = 1 << 20
INLINE = 128 << 10
SIZES = [0, 1, 1000, INLINE - 1, INLINE, INLINE + 1, LIMIT - 1, LIMIT]


async def inflated(data: bytes | memoryview, limit: int) -> bytes | memoryview | None:
    async def room() -> None:
        pass

    return await inflate(data, limit, room)


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("content", [bytes, noise], ids=["zeros", "noise"])
async def test_up_to_the_limit(content, size: int) -> None:
    data = content(size)
    assert await inflated(gzip.compress(data), LIMIT) == data
    assert await inflated(memoryview(gzip.compress(data, 0)), size) == data


@pytest.mark.parametrize("limit", [size for size in SIZES if size])
@pytest.mark.parametrize("more", [1, 2, 100_000, 10 * LIMIT])
async def test_more_than_the_limit(limit: int, more: int) -> None:
    assert await inflated(gzip.compress(bytes(limit + more)), limit) is None


@pytest.mark.parametrize("size", [0, 1, 1000, INLINE, LIMIT])
@pytest.mark.parametrize("cut", [1, 4, 8, 9, 12])
async def test_what_is_cut(size: int, cut: int) -> None:
    with pytest.raises(MalformedRequest):
        await inflated(gzip.compress(noise(size))[:-cut], LIMIT)


@pytest.mark.parametrize("size", [0, 1, 1000, INLINE, LIMIT])
@pytest.mark.parametrize(
    "behind", [b"\0", b"x", gzip.compress(b"", mtime=0), gzip.compress(b"more", mtime=0)]
)
async def test_what_follows(size: int, behind: bytes) -> None:
    """Another member, too."""
    with pytest.raises(MalformedRequest):
        await inflated(gzip.compress(noise(size)) + behind, LIMIT)


async def test_many_empty_members_cost_no_more_than_one() -> None:
    with pytest.raises(MalformedRequest):
        await inflated(gzip.compress(b"") * 100_000, LIMIT)


@pytest.mark.parametrize(
    "data",
    [b"", b"no gzip", b"\x1f\x8b", zlib.compress(b"abc"), gzip.compress(b"abc", mtime=0)[:10]],
    ids=["nothing", "text", "magic alone", "zlib", "head alone"],
)
async def test_what_is_no_gzip(data: bytes) -> None:
    with pytest.raises(MalformedRequest):
        await inflated(data, LIMIT)


@pytest.mark.parametrize("size", [100, INLINE * 2])
async def test_a_checksum_that_is_wrong(size: int) -> None:
    data = bytearray(gzip.compress(noise(size)))
    data[-5] ^= 1
    with pytest.raises(MalformedRequest):
        await inflated(bytes(data), LIMIT)


@given(st.binary(max_size=200), st.integers(0, 400))
async def test_any_bytes_are_read_or_refused(data: bytes, limit: int) -> None:
    for tried in (data, b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + data):
        try:
            found = await inflated(tried, limit)
        except MalformedRequest:
            continue
        assert found is None or len(found) <= limit


async def test_it_waits_for_room_only_where_it_becomes_long() -> None:
    asked = 0

    async def room() -> None:
        nonlocal asked
        asked += 1

    await inflate(gzip.compress(bytes(INLINE)), LIMIT, room)
    assert asked == 0
    await inflate(gzip.compress(bytes(INLINE + 1)), LIMIT, room)
    assert asked == 1


@pytest.mark.parametrize("size", [n * (64 << 10) + more for n in (1, 2) for more in (-40, -1, 0, 1, 40)])
async def test_what_is_compressed_has_any_length(size: int) -> None:
    """The data goes in by pieces, and may end where a piece does."""
    for level in (0, 1):
        data = gzip.compress(noise(size - 28 if level else size), level, mtime=0)
        assert await inflated(data, LIMIT) == gzip.decompress(data)
        with pytest.raises(MalformedRequest):
            await inflated(data + b"x", LIMIT)
        with pytest.raises(MalformedRequest):
            await inflated(data[:-1], LIMIT)
