"""How many calls there may be at a time, and what a drain waits for."""

import asyncio
from contextlib import suppress

import pytest

from conexiones.errors import NotAnImage, ServerBusy, ServerDraining
from conexiones.transport.chain.admission import Admission
from conexiones.transport.chain.call import Call, Exemption
from tests.transport.chain.calls import Client, call, nothing


class Server:
    """An admission for so many calls, and calls that last until they are told to end."""

    def __init__(self, max_calls: int) -> None:
        self.idle = 0
        self.admission = Admission(max_calls, self._idle)
        self._end = asyncio.Event()
        self._begun: list[asyncio.Task[None]] = []

    def _idle(self) -> None:
        self.idle += 1

    async def begin(self, *exempt: Exemption) -> None:
        begun = asyncio.Event()

        async def lasting(one: Call) -> None:
            begun.set()
            await self._end.wait()

        one = call(Client(), exempt=frozenset(exempt))
        self._begun.append(asyncio.create_task(self._serve(one, lasting)))
        await begun.wait()

    async def _serve(self, one: Call, rest) -> None:
        await self.admission(one, rest)

    async def one(self, *exempt: Exemption) -> None:
        """A call that ends at once."""
        await self.admission(call(Client(), exempt=frozenset(exempt)), nothing)

    async def end(self) -> None:
        self._end.set()
        await asyncio.gather(*self._begun)


async def test_as_many_calls_as_there_may_be_and_no_more() -> None:
    server = Server(2)
    await server.begin()
    await server.begin()
    with pytest.raises(ServerBusy) as caught:
        await server.one()
    assert caught.value.facts == {"limit": 2}
    await server.end()
    await server.one()


async def test_those_that_are_exempt_are_served_and_not_counted() -> None:
    server = Server(1)
    await server.begin("admission")
    await server.begin("admission")
    await server.begin()
    await server.one("admission")
    with pytest.raises(ServerBusy):
        await server.one()
    with pytest.raises(ServerBusy):
        await server.one("drain")
    await server.end()


async def test_a_call_that_fails_makes_room() -> None:
    async def failing(one: Call) -> None:
        raise NotAnImage(field="image")

    server = Server(1)
    for _ in range(3):
        with suppress(NotAnImage):
            await server.admission(call(Client()), failing)
    await server.one()


async def test_a_drain_without_calls_is_over_at_once() -> None:
    server = Server(1)
    await server.one()
    assert server.idle == 0
    server.admission.drain()
    assert server.idle == 1


async def test_a_drain_waits_for_the_last_call() -> None:
    server = Server(10)
    await server.begin()
    await server.begin()
    server.admission.drain()
    assert server.idle == 0
    with pytest.raises(ServerDraining):
        await server.one()
    assert server.idle == 0
    await server.end()
    assert server.idle == 1


async def test_a_drain_does_not_wait_for_those_that_are_exempt() -> None:
    server = Server(10)
    await server.begin("drain")
    await server.begin("admission")
    server.admission.drain()
    assert server.idle == 1
    await server.one("admission")
    with pytest.raises(ServerDraining):
        await server.one("drain")
    await server.end()
