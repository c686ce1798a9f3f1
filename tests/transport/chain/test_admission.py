"""How many calls there may be at a time, and what a drain waits for."""

import asyncio
from contextlib import suppress

import pytest

from conexiones.errors import NotAnImage, ServerBusy, ServerDraining, StreamIdle
from conexiones.transport.chain import patience
from conexiones.transport.chain.admission import BRIEF, Admission
from conexiones.transport.chain.call import Call, Exemption
from conexiones.transport.chain.patience import Patience
from tests.support.waiting import DEADLINE, idle
from tests.transport.chain.calls import Client, call, nothing


class Server:
    """An admission for so many calls, and calls that last until they are told to end."""

    def __init__(self, max_calls: int, *, wait_seconds: float = 0.05) -> None:
        self.idle = 0
        self.patience = Patience(stall_seconds=100, least_rate=1, idle_seconds=100)
        self.admission = Admission(max_calls, self._idle, self.patience, wait_seconds=wait_seconds)
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


async def test_a_call_waits_for_a_place() -> None:
    server = Server(1, wait_seconds=DEADLINE)
    await server.begin()
    waiting = asyncio.create_task(server.one())
    await idle()
    await server.end()
    await waiting


async def test_those_that_are_exempt_have_places_of_their_own() -> None:
    server = Server(1)
    await server.begin("admission")
    with pytest.raises(ServerBusy):
        await server.one("admission")
    await server.begin()
    await server.end()


async def test_those_that_are_exempt_are_served_whatever_the_others_are() -> None:
    server = Server(1)
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


async def lasting(
    server: Server, peer: tuple[str, int], *, brief: bool = False, coming: bool = False
) -> "asyncio.Task[None]":
    """A call that lasts until it is cancelled; with `coming`, its request does."""
    one = call(Client(), peer=peer, brief=brief)

    async def rest(one: Call) -> None:
        if coming:
            await asyncio.Event().wait()
        await taking(one)
        await asyncio.Event().wait()

    task = asyncio.create_task(server.admission(one, rest))
    await idle()
    return task


async def taking(one: Call) -> None:
    """What is done with a call once its request is there."""
    if one.turn:
        await one.turn.take()


async def test_one_client_cannot_take_all_places() -> None:
    server = Server(20)
    greedy = [await lasting(server, ("10.0.0.1", port)) for port in range(10) for _ in range(4)]
    async with asyncio.timeout(0):
        await server.admission(call(Client(), peer=("10.0.0.2", 1)), nothing)
    for one in greedy:
        one.cancel()
    await asyncio.gather(*greedy, return_exceptions=True)


async def test_brief_calls_take_turns_by_client() -> None:
    server = Server(1000)
    greedy = [
        await lasting(server, ("10.0.0.1", port), brief=True) for port in range(4) for _ in range(2 * BRIEF)
    ]
    async with asyncio.timeout(0):
        await server.admission(call(Client(), peer=("10.0.0.2", 1), brief=True), taking)
        # So can one of the same client that has a connection of its own.
        await server.admission(call(Client(), peer=("10.0.0.1", 9), brief=True), taking)
        # What is not brief is not counted among them.
        await server.admission(call(Client(), peer=("10.0.0.1", 1)), nothing)
    for one in greedy:
        one.cancel()
    await asyncio.gather(*greedy, return_exceptions=True)


async def test_a_call_whose_request_is_coming_in_has_no_turn_yet() -> None:
    server = Server(1000)
    slow = [
        await lasting(server, (f"10.0.0.{number}", 1), brief=True, coming=True) for number in range(2 * BRIEF)
    ]
    async with asyncio.timeout(0):
        await server.admission(call(Client(), peer=("10.0.1.1", 1), brief=True), taking)
    for one in slow:
        one.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


async def test_who_waits_for_something_gives_the_turn_back() -> None:
    server = Server(1000)
    ended = asyncio.Event()

    async def waiting(one: Call) -> None:
        await taking(one)
        assert one.turn
        one.turn.give()
        await ended.wait()

    calls = [call(Client(), peer=(f"10.0.0.{number}", 1), brief=True) for number in range(2 * BRIEF)]
    tasks = [asyncio.create_task(server.admission(one, waiting)) for one in calls]
    await idle()
    async with asyncio.timeout(0):
        await server.admission(call(Client(), peer=("10.0.1.1", 1), brief=True), taking)
    ended.set()
    await asyncio.gather(*tasks)


async def test_a_silent_stream_makes_room_for_a_call_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "SILENT_SECONDS", 0.0)
    server = Server(2, wait_seconds=DEADLINE)
    ended: list[Call] = []

    async def silent(one: Call) -> None:
        server.patience.add(one)
        try:
            await one.body.read()
        except StreamIdle:
            ended.append(one)

    streams = []
    for port in range(2):
        one = call(Client(), peer=("10.0.0.1", port))
        streams.append(one)
        server._begun.append(asyncio.create_task(server.admission(one, silent)))
        await asyncio.sleep(0.01)
    async with asyncio.timeout(DEADLINE):
        await server.admission(call(Client(), peer=("10.0.0.2", 1)), nothing)
    assert ended == streams[:1], "the one that was silent for longest, and no other"
    for task in server._begun:
        task.cancel()
    await asyncio.gather(*server._begun, return_exceptions=True)


async def test_silent_streams_of_clients_with_less_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "SILENT_SECONDS", 0.0)
    server = Server(5, wait_seconds=DEADLINE)
    ended: list[Call] = []

    async def silent(one: Call) -> None:
        server.patience.add(one)
        try:
            await one.body.read()
        except StreamIdle:
            ended.append(one)

    streams = []
    for host in ("10.0.0.9", "10.0.0.1", "10.0.0.1", "10.0.0.1"):
        one = call(Client(), peer=(host, 1))
        streams.append(one)
        server._begun.append(asyncio.create_task(server.admission(one, silent)))
        await asyncio.sleep(0.01)
    held = await lasting(server, ("10.0.0.8", 1))
    async with asyncio.timeout(DEADLINE):
        await server.admission(call(Client(), peer=("10.0.0.2", 1)), nothing)
    assert ended == streams[1:2], "the first one was silent for longer, but its client has only that"
    held.cancel()
    for task in server._begun:
        task.cancel()
    await asyncio.gather(*server._begun, held, return_exceptions=True)
