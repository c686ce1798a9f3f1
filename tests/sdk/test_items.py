"""What a stream is fed with, when the stream has to begin again."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from conexiones.sdk.items import Items
from tests.support.waiting import idle


async def numbers(gate: asyncio.Event) -> AsyncIterator[int]:
    yield 1
    await gate.wait()
    yield 2
    yield 3


async def test_nothing_is_lost_where_who_waits_is_cancelled() -> None:
    gate = asyncio.Event()
    items = Items(numbers(gate))
    assert await anext(items) == 1
    waiting = asyncio.ensure_future(anext(items))
    await idle()
    waiting.cancel()
    await asyncio.wait({waiting})
    gate.set()
    assert items.rewind()
    assert [item async for item in items] == [1, 2, 3]
    assert items.rewind()
    assert [item async for item in items] == [1, 2, 3]
    await items.close()


async def test_after_the_first_reply_nothing_is_kept() -> None:
    items = Items([1, 2, 3])
    assert await anext(items) == 1
    items.answered()
    assert not items.rewind()
    assert [item async for item in items] == [2, 3]


async def test_what_the_source_raises_is_raised() -> None:
    async def failing() -> AsyncIterator[int]:
        yield 1
        raise ZeroDivisionError

    items = Items(failing())
    assert await anext(items) == 1
    with pytest.raises(ZeroDivisionError):
        await anext(items)
    await items.close()


async def test_closing_ends_the_source() -> None:
    ended = []

    async def endless() -> AsyncIterator[int]:
        try:
            await asyncio.Event().wait()
            yield 1
        finally:
            ended.append(True)

    items = Items(endless())
    waiting = asyncio.ensure_future(anext(items))
    await idle()
    waiting.cancel()
    await asyncio.wait({waiting})
    await items.close()
    assert ended == [True]
