"""The budget of memory for messages: never more than its limit, in the order of arrival."""

import asyncio
import random

import pytest

from conexiones.transport.chain.memory import COPIES, FREE, Budget, Lease
from tests.support.waiting import idle


async def test_who_comes_first_is_served_first() -> None:
    budget = Budget(100)
    await budget.acquire(80)
    served = []

    async def wait(size: int) -> None:
        await budget.acquire(size)
        served.append(size)

    waiting = [asyncio.create_task(wait(size)) for size in (60, 10, 30)]
    await idle()
    assert served == [], "10 would fit, but is not first in the line"
    budget.release(80)
    await asyncio.gather(*waiting)
    assert served == [60, 10, 30]
    assert budget.held == 100


async def test_as_much_as_the_limit_may_be_held_and_not_a_byte_more() -> None:
    budget = Budget(100)
    await budget.acquire(100)
    more = asyncio.create_task(budget.acquire(1))
    await idle()
    assert not more.done()
    budget.release(1)
    await more
    assert budget.held == 100


async def test_who_is_cancelled_in_the_line_takes_nothing_and_lets_the_next_pass() -> None:
    budget = Budget(100)
    await budget.acquire(50)
    large = asyncio.create_task(budget.acquire(100))
    small = asyncio.create_task(budget.acquire(50))
    await idle()
    large.cancel()
    await small
    assert large.cancelled()
    assert budget.held == 100


async def test_who_is_cancelled_with_its_share_gives_it_back() -> None:
    budget = Budget(100)
    await budget.acquire(100)
    waiting = asyncio.create_task(budget.acquire(70))
    await idle()
    budget.release(100)  # it is granted now, and has not run since
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert waiting.cancelled()
    assert budget.held == 0


async def test_who_is_cancelled_just_before_a_release_is_passed_over() -> None:
    budget = Budget(100)
    await budget.acquire(100)
    first, second = (asyncio.create_task(budget.acquire(100)) for _ in range(2))
    await idle()
    first.cancel()
    budget.release(100)  # before the first has run again
    await second
    await asyncio.gather(first, return_exceptions=True)
    assert first.cancelled()
    assert budget.held == 100


@pytest.mark.parametrize("seed", range(20))
async def test_never_more_than_the_limit_whatever_happens(seed: int) -> None:
    rng = random.Random(seed)
    limit = (FREE + 10) * COPIES * 2
    budget = Budget(limit)

    async def call() -> None:
        lease = Lease(budget)
        try:
            for _ in range(rng.randrange(1, 5)):
                await lease.hold(FREE + rng.randrange(1, 10))
                await asyncio.sleep(0)
                if rng.random() < 0.3:
                    lease.release()
        finally:
            lease.release()

    async def held() -> None:
        while True:
            assert 0 <= budget.held <= limit
            await asyncio.sleep(0)

    watching = asyncio.create_task(held())
    calls = [asyncio.create_task(call()) for _ in range(50)]
    for _ in range(200):
        await asyncio.sleep(0)
        if rng.random() < 0.1:
            rng.choice(calls).cancel()
    for ended in await asyncio.gather(*calls, return_exceptions=True):
        assert ended is None or isinstance(ended, asyncio.CancelledError)
    watching.cancel()
    assert budget.held == 0


async def test_a_lease_is_for_large_messages_alone() -> None:
    budget = Budget(10 * FREE)
    lease = Lease(budget)
    await lease.hold(FREE)
    assert (budget.held, lease.holds) == (0, False)
    await lease.hold(FREE + 1)
    assert (budget.held, lease.holds) == ((FREE + 1) * COPIES, True)
    await lease.hold(FREE)
    assert budget.held == (FREE + 1) * COPIES, "it has enough for that"
    lease.release()
    lease.release()
    assert (budget.held, lease.holds) == (0, False)


async def test_two_leases_that_want_more_do_not_wait_for_each_other() -> None:
    size = 2 * FREE
    budget = Budget(size * COPIES * 2)
    first, second = Lease(budget), Lease(budget)
    await first.hold(size)
    await second.hold(size)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        for lease in (first, second):
            tasks.create_task(_whole(lease, 2 * size))
    assert budget.held == 0


async def _whole(lease: Lease, size: int) -> None:
    await lease.hold(size)
    lease.release()
