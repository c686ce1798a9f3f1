"""Requests of a stream that are worked on together: their order, their bounds, and their end."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from conexiones.transport.rpc.pipeline import BYTES, REQUESTS, Pipeline
from tests.support.waiting import DEADLINE, idle


class Source:
    """Requests 0, 1, 2 …, as many as are asked for; `read` says how many were."""

    def __init__(self, count: int) -> None:
        self.read = 0
        self._count = count

    async def __aiter__(self) -> AsyncIterator[int]:
        for number in range(self._count):
            self.read += 1
            yield number


def one(request: int) -> int:
    return 1


async def test_they_run_together_and_answer_in_order() -> None:
    last = asyncio.Event()

    async def work(number: int, call: None) -> int:
        if number == 2:
            last.set()
        await last.wait()
        return number

    async with asyncio.timeout(DEADLINE):
        assert [reply async for reply in Pipeline(work, size=one)(aiter(Source(3)), None)] == [0, 1, 2]


async def test_as_many_as_may_be_are_read() -> None:
    source = Source(1000)
    replies: Any = Pipeline(_itself, size=one)(aiter(source), None)
    assert await anext(replies) == 0
    await idle()
    # What was given, what waits, and none beside.
    assert source.read == REQUESTS + 1
    assert await anext(replies) == 1
    await idle()
    assert source.read == REQUESTS + 2
    await replies.aclose()


async def test_bytes_are_bounded_over_all_streams() -> None:
    go = asyncio.Event()

    async def work(number: int, call: None) -> int:
        await go.wait()
        return number

    sources = [Source(4), Source(4)]
    pipeline = Pipeline(work, size=lambda _: BYTES // 2)
    streams = [pipeline(aiter(source), None) for source in sources]
    first = [asyncio.ensure_future(anext(stream)) for stream in streams]
    await idle()
    # Two have room, and one of each stream is worked on without.
    assert sorted(source.read for source in sources) == [1, 3]
    go.set()
    assert [await one for one in first] == [0, 0]
    for stream, source in zip(streams, sources, strict=True):
        assert [reply async for reply in stream] == [1, 2, 3]
        assert source.read == 4


@pytest.mark.parametrize("failing", ["work", "requests"])
async def test_an_error_comes_in_its_turn(failing: str) -> None:
    async def requests() -> AsyncIterator[int]:
        for number in range(5):
            if failing == "requests" and number == 3:
                raise KeyError
            yield number

    async def work(number: int, call: None) -> int:
        if failing == "work" and number == 3:
            raise KeyError
        await idle()  # the error is there first
        return number

    replies = Pipeline(work, size=one)(requests(), None)
    given = [await anext(replies) for _ in range(3)]
    with pytest.raises(KeyError):
        await anext(replies)
    assert given == [0, 1, 2]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_is_under_way_is_cancelled_with_the_stream() -> None:
    cancelled = []

    async def work(number: int, call: None) -> int:
        try:
            if number:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        return number

    replies: Any = Pipeline(work, size=one)(aiter(Source(3)), None)
    assert await anext(replies) == 0
    await idle()
    await replies.aclose()
    assert cancelled == [1, 2]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def _itself(number: int, call: None) -> int:
    return number
