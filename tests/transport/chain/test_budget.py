"""A budget: never more than its limit, a share for each client, and turns for those who wait."""

import asyncio
import random

import pytest

from conexiones.errors import ServerBusy
from conexiones.shares import Caller
from conexiones.transport.chain.budget import Budget
from tests.support.waiting import DEADLINE, idle

ANA, BEA, EVA = Caller("ana", "1"), Caller("bea", "1"), Caller("eva", "1")


async def test_as_much_as_the_limit_may_be_held_and_not_a_byte_more() -> None:
    budget = Budget(100, wait_seconds=10)
    await budget.take(ANA, 100)
    more = asyncio.create_task(budget.take(BEA, 1))
    await idle()
    assert not more.done()
    budget.give(ANA, 100)
    await more
    assert budget.held == 1


async def test_those_who_wait_take_turns_by_client() -> None:
    budget = Budget(10, wait_seconds=10)
    await budget.take(EVA, 10)
    served: list[str] = []

    async def wait(caller: Caller) -> None:
        await budget.take(caller, 10)
        served.append(caller.client)
        budget.give(caller, 10)

    waiting = [asyncio.create_task(wait(caller)) for caller in (ANA, ANA, ANA, BEA)]
    await idle()
    assert served == []
    budget.give(EVA, 10)
    await asyncio.gather(*waiting)
    assert served == ["ana", "bea", "ana", "ana"]


async def test_a_client_with_its_share_waits_and_others_do_not() -> None:
    budget = Budget(100, wait_seconds=10)
    while budget.take_now(ANA, 10):
        pass
    more = [asyncio.create_task(budget.take(ANA, 10)) for _ in range(50)]
    await idle()
    assert budget.waiting == 50
    async with asyncio.timeout(0):
        await budget.take(BEA, 10)
    for one in more:
        one.cancel()
    await asyncio.gather(*more, return_exceptions=True)
    assert budget.waiting == 0


async def test_what_is_large_is_not_overtaken_for_ever() -> None:
    budget = Budget(100, wait_seconds=10)
    await budget.take(ANA, 60)
    large = asyncio.create_task(budget.take(BEA, 80))
    await idle()
    assert not budget.take_now(EVA, 10), "it would be free, but somebody waits for it"
    budget.give(ANA, 60)
    await large


async def test_a_wait_has_an_end() -> None:
    budget = Budget(10, wait_seconds=0.01)
    await budget.take(ANA, 10)
    with pytest.raises(ServerBusy) as caught:
        await budget.take(BEA, 10)
    assert caught.value.facts == {"limit": 10}
    assert (budget.held, budget.waiting) == (10, 0)


async def test_the_line_has_an_end_and_shares_too() -> None:
    budget = Budget(1, wait_seconds=10, most_waiting=10)
    await budget.take(EVA, 1)
    waiting = [asyncio.create_task(budget.take(ANA, 1)) for _ in range(20)]
    await idle()
    refused = [one for one in waiting if one.done()]
    assert (budget.waiting, len(refused)) == (5, 15)
    for one in refused:
        with pytest.raises(ServerBusy):
            await one
    others = [asyncio.create_task(budget.take(Caller(str(number)), 1)) for number in range(10)]
    await idle()
    assert budget.waiting == 10
    for one in (*waiting, *others):
        one.cancel()
    await asyncio.gather(*waiting, *others, return_exceptions=True)
    assert (budget.held, budget.waiting) == (1, 0)


async def test_a_connection_with_few_waits_though_another_of_its_client_fills_the_line() -> None:
    budget = Budget(1, places=2, wait_seconds=10, most_waiting=12)
    await budget.take(EVA, 1)
    waiting = [asyncio.create_task(budget.take(Caller("ana", "1"), 1)) for _ in range(20)]
    await idle()
    assert budget.waiting == 6
    second = [asyncio.create_task(budget.take(Caller("ana", "2"), 1)) for _ in range(4)]
    await idle()
    assert (budget.waiting, sum(one.done() for one in second)) == (8, 2)
    waiting += [asyncio.create_task(budget.take(Caller("ana", f"more {number}"), 1)) for number in range(20)]
    await idle()
    assert budget.waiting == 9, "a quarter is left to others"
    for one in (*waiting, *second):
        one.cancel()
    await asyncio.gather(*waiting, *second, return_exceptions=True)
    assert (budget.held, budget.waiting) == (1, 0)


async def test_who_waits_makes_the_others_hurry() -> None:
    pressed = asyncio.Event()
    budget = Budget(1, wait_seconds=10, press=pressed.set)
    await budget.take(ANA, 1)
    assert not pressed.is_set()
    waiting = asyncio.create_task(budget.take(BEA, 1))
    async with asyncio.timeout(DEADLINE):
        await pressed.wait()
        pressed.clear()
        await pressed.wait()  # and again, while anybody waits
    budget.give(ANA, 1)
    await waiting


async def test_who_is_cancelled_in_the_line_takes_nothing_and_lets_the_next_pass() -> None:
    budget = Budget(100, wait_seconds=10)
    await budget.take(ANA, 50)
    large = asyncio.create_task(budget.take(BEA, 100))
    small = asyncio.create_task(budget.take(EVA, 50))
    await idle()
    large.cancel()
    await small
    assert large.cancelled()
    assert budget.held == 100


async def test_who_is_cancelled_with_its_share_gives_it_back() -> None:
    budget = Budget(100, wait_seconds=10)
    await budget.take(ANA, 100)
    waiting = asyncio.create_task(budget.take(BEA, 70))
    await idle()
    budget.give(ANA, 100)  # it is granted now, and has not run since
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert waiting.cancelled()
    assert budget.held == 0


async def test_who_is_cancelled_just_before_its_turn_is_passed_over() -> None:
    budget = Budget(100, wait_seconds=10)
    await budget.take(ANA, 100)
    first, second = (asyncio.create_task(budget.take(caller, 100)) for caller in (BEA, EVA))
    await idle()
    first.cancel()
    budget.give(ANA, 100)  # before the first has run again
    await second
    await asyncio.gather(first, return_exceptions=True)
    assert first.cancelled()
    assert budget.held == 100


@pytest.mark.parametrize("seed", range(20))
async def test_never_more_than_the_limit_whatever_happens(seed: int) -> None:
    rng = random.Random(seed)
    budget = Budget(100, wait_seconds=10, places=rng.choice([0, 10]))

    async def call() -> None:
        caller = Caller(rng.choice("abc"), rng.choice("12"))
        for _ in range(rng.randrange(1, 5)):
            size = rng.randrange(1, 100)
            await budget.take(caller, size)
            try:
                await asyncio.sleep(0)
            finally:
                budget.give(caller, size)

    async def held() -> None:
        while True:
            assert 0 <= budget.held <= 100
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
    assert (budget.held, budget.waiting) == (0, 0)


async def test_waits_are_told_whatever_their_end() -> None:
    budget = Budget(10, wait_seconds=10)
    waits: list[float] = []
    budget.waited = waits.append
    await budget.take(ANA, 10)
    assert waits == []
    served, gone = (asyncio.create_task(budget.take(BEA, 10)) for _ in range(2))
    await idle()
    gone.cancel()
    budget.give(ANA, 10)
    await asyncio.gather(served, gone, return_exceptions=True)
    assert len(waits) == 2
    assert min(waits) >= 0
