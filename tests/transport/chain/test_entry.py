"""Calls that come all at once begin a few at a time, and clients take turns."""

import asyncio

from conexiones.transport.chain.call import Call
from conexiones.transport.chain.entry import AT_ONCE, Entry
from tests.support.waiting import idle
from tests.transport.chain.calls import Client, call


class Begun:
    """Which calls have begun, by the addresses of their clients."""

    def __init__(self) -> None:
        self.entry = Entry()
        self.clients: list[str] = []

    def call(self, address: str) -> "asyncio.Task[None]":
        one = call(Client(), peer=(address, 1))
        return asyncio.create_task(self._serve(one))

    async def _serve(self, one: Call) -> None:
        await self.entry(one, self._begin)

    async def _begin(self, one: Call) -> None:
        self.clients.append(one.caller.client)


async def test_a_few_begin_in_each_turn_of_the_loop() -> None:
    begun = Begun()
    for _ in range(3 * AT_ONCE):
        begun.call("192.0.2.1")
    counts = []
    while len(begun.clients) < 3 * AT_ONCE:
        await asyncio.sleep(0)
        counts.append(len(begun.clients))
    steps = [after - before for before, after in zip([0, *counts], counts, strict=False)]
    assert max(steps) == AT_ONCE


async def test_a_client_with_one_call_begins_before_hundreds_of_another() -> None:
    begun = Begun()
    for _ in range(20 * AT_ONCE):
        begun.call("192.0.2.1")
    begun.call("192.0.2.2")
    await idle()
    assert len(begun.clients) == 20 * AT_ONCE + 1
    assert begun.clients.index("192.0.2.2") <= 2 * AT_ONCE


async def test_one_that_leaves_while_it_waits_takes_no_turn() -> None:
    begun = Begun()
    for _ in range(AT_ONCE):
        begun.call("192.0.2.1")
    leaves, stays = begun.call("192.0.2.2"), begun.call("192.0.2.2")
    await asyncio.sleep(0)
    leaves.cancel()
    await idle()
    assert leaves.cancelled()
    assert stays.done()
    assert begun.clients.count("192.0.2.2") == 1
