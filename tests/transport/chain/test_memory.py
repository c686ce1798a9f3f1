"""Memory for messages: what a small one, a large one and the work on it hold, and who has to hurry."""

import asyncio

import pytest

from conexiones.errors import ClientStalled
from conexiones.shares import Caller
from conexiones.transport.chain import memory as module
from conexiones.transport.chain.body import Body
from conexiones.transport.chain.memory import COPIES, FREE, SMALL, Lease, Memory
from tests.support.waiting import DEADLINE, idle
from tests.transport.chain.calls import Client

MIB = 1 << 20
LIMIT, LARGEST = 256 * MIB, 64 * MIB


def lease(memory: Memory, client: str = "ana", body: Body | None = None) -> Lease:
    return Lease(memory, Caller(client), body or Body(Client().receive))


def parts(memory: Memory) -> tuple[int, int, int]:
    return memory.small.held, memory.incoming.held, memory.work.held


@pytest.mark.parametrize("limit", [192, 200, 256, 300, 1000])
def test_the_parts_are_the_whole_and_have_room_for_the_largest_message(limit: int) -> None:
    memory = Memory(limit * MIB, max_message=LARGEST, wait_seconds=10)
    assert memory.small.limit + memory.incoming.limit + memory.work.limit == limit * MIB
    assert memory.incoming.limit >= LARGEST
    assert memory.small.limit >= COPIES * memory.most_small


async def test_a_tiny_message_holds_nothing() -> None:
    memory = Memory(LIMIT, max_message=LARGEST, wait_seconds=10)
    one = lease(memory)
    await one.hold(FREE)
    await one.work(FREE)
    assert memory.held == 0


async def test_a_small_message_holds_all_its_copies_at_once() -> None:
    memory = Memory(LIMIT, max_message=LARGEST, wait_seconds=10)
    one = lease(memory)
    await one.hold(SMALL)
    await one.work(SMALL)
    assert parts(memory) == (COPIES * SMALL, 0, 0)
    one.decoded()
    assert memory.held == COPIES * SMALL
    one.release()
    one.release()
    assert memory.held == 0


async def test_a_large_message_holds_its_copies_only_while_it_is_worked_on() -> None:
    memory = Memory(LIMIT, max_message=LARGEST, wait_seconds=10)
    one = lease(memory)
    await one.hold(10 * MIB)
    assert parts(memory) == (0, 10 * MIB, 0)
    await one.work(10 * MIB)
    assert parts(memory) == (0, 10 * MIB, (COPIES - 1) * 10 * MIB)
    one.decoded()
    assert parts(memory) == (0, 0, (COPIES - 1) * 10 * MIB)
    one.release()
    assert memory.held == 0


async def test_large_messages_that_come_in_do_not_keep_small_ones_waiting_nor_the_work() -> None:
    memory = Memory(LIMIT, max_message=LARGEST, wait_seconds=10)
    for client in ("ana", "bea", "eva"):
        held = [asyncio.create_task(lease(memory, client).hold(LARGEST)) for _ in range(10)]
        await idle()
    assert memory.incoming.held >= memory.incoming.limit - LARGEST
    async with asyncio.timeout(0):
        await lease(memory, "leo").hold(SMALL)
        await lease(memory, "leo").work(20 * MIB)
    for one in held:
        one.cancel()


async def test_two_that_want_more_do_not_wait_for_each_other() -> None:
    memory = Memory(10 * FREE, max_message=3 * FREE, wait_seconds=10)
    first, second = lease(memory, "ana"), lease(memory, "bea")
    await first.hold(FREE + 1)
    await second.hold(FREE + 1)

    async def whole(one: Lease) -> None:
        await one.hold(3 * FREE)
        one.release()

    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        for one in (first, second):
            tasks.create_task(whole(one))
    assert memory.held == 0


async def held_by_a_slow_client(memory: Memory, client: str, size: int) -> "asyncio.Task[bytes | None]":
    """A message that holds memory and comes no further."""
    body = Body(Client().receive)
    await lease(memory, client, body).hold(size)
    reading = asyncio.create_task(body.read(within=True))
    await idle()
    return reading


async def test_while_others_wait_who_holds_most_has_to_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HURRY_SECONDS", 0.01)
    monkeypatch.setattr("conexiones.transport.chain.budget.PRESS_SECONDS", 0.02)
    memory = Memory(LIMIT, max_message=LARGEST, wait_seconds=10)
    most = await held_by_a_slow_client(memory, "ana", memory.incoming.limit - 10 * MIB)
    less = await held_by_a_slow_client(memory, "bea", 5 * MIB)
    waiting = asyncio.create_task(lease(memory, "eva").hold(10 * MIB))
    with pytest.raises(ClientStalled):
        await most
    await idle()
    assert not less.done()
    waiting.cancel()
    less.cancel()


async def test_who_is_quick_enough_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HURRY_SECONDS", 0.01)
    monkeypatch.setattr(module, "HURRY_RATE", 1)
    memory = Memory(LIMIT, max_message=LARGEST, wait_seconds=10)
    client = Client()
    body = Body(client.receive)
    one = lease(memory, "ana", body)
    await one.hold(10 * MIB)
    for _ in range(5):
        reading = asyncio.create_task(body.read(within=True))
        await asyncio.wait([reading], timeout=0.02)
        one.hurry()
        client.write(bytes(1000))
        assert await reading == bytes(1000)
