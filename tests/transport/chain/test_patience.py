"""How long the server waits for clients, and what it ends first when others are in need."""

import asyncio
from types import SimpleNamespace

import pytest

from conexiones.errors import ClientStalled, StreamIdle
from conexiones.transport.chain import body
from conexiones.transport.chain.call import Call
from conexiones.transport.chain.patience import SILENT_SECONDS, Patience
from tests.support.waiting import idle
from tests.transport.chain.calls import Client, call


def watched(patience: Patience) -> tuple[Client, Call]:
    client = Client()
    one = call(client)
    patience.add(one)
    return client, one


async def test_a_client_that_stops_within_a_message() -> None:
    _, one = watched(Patience(stall_seconds=0.01, least_rate=1, idle_seconds=100))
    with pytest.raises(ClientStalled) as caught:
        await one.body.read(within=True)
    assert caught.value.facts == {"limit": 1}


async def test_a_trickle_does_not_push_the_end_out() -> None:
    """A byte now and then is no progress."""
    client, one = watched(Patience(stall_seconds=0.05, least_rate=1 << 20, idle_seconds=100))

    async def read_all() -> None:
        while True:
            asyncio.get_running_loop().call_later(0.01, client.write, b"a")
            await one.body.read(within=True)

    with pytest.raises(ClientStalled):
        await asyncio.wait_for(read_all(), 10)


class Clock:
    """A time that passes when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(body, "time", SimpleNamespace(monotonic=lambda: self.now))


async def test_a_message_that_comes_at_the_least_rate_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, client = Clock(monkeypatch), Client()
    one = call(client)
    for _ in range(50):
        reading = asyncio.create_task(one.body.read(within=True))
        await idle()
        clock.now += 0.15
        one.body.check(stall_seconds=0.2, least_rate=100, idle_seconds=100)
        client.write(bytes(15))
        assert await reading == bytes(15)


async def test_the_time_for_which_nobody_reads_is_not_the_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, client = Clock(monkeypatch), Client()
    one = call(client)
    for _ in range(10):
        reading = asyncio.create_task(one.body.read(within=True))
        await idle()
        clock.now += 0.001
        one.body.check(stall_seconds=0.05, least_rate=1 << 20, idle_seconds=100)
        client.write(b"a")
        assert await reading == b"a"
        clock.now += 100


async def test_a_stream_that_asks_nothing_is_let_go() -> None:
    _, one = watched(Patience(stall_seconds=100, least_rate=1, idle_seconds=0.01))
    with pytest.raises(StreamIdle):
        await one.body.read()


async def test_without_a_limit_a_stream_may_be_idle() -> None:
    client, one = watched(Patience(stall_seconds=0.01, least_rate=1, idle_seconds=0))
    reading = asyncio.create_task(one.body.read())
    await asyncio.wait([reading], timeout=0.1)
    assert not reading.done()
    client.write(b"a")
    assert await reading == b"a"


async def test_the_silent_are_those_who_ask_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    patience = Patience(stall_seconds=100, least_rate=1, idle_seconds=100)
    _, first = watched(patience)
    _, second = watched(patience)
    _, third = watched(patience)
    _, within = watched(patience)
    watched(patience)  # is not read
    reading = [asyncio.create_task(first.body.read())]
    await idle()
    clock.now += SILENT_SECONDS
    reading += [asyncio.create_task(second.body.read()), asyncio.create_task(within.body.read(within=True))]
    await idle()
    clock.now += SILENT_SECONDS
    reading += [asyncio.create_task(third.body.read())]
    await idle()
    clock.now += SILENT_SECONDS / 2
    assert patience.silent() == [first, second]
    patience.remove(first)
    assert patience.silent() == [second]
    for one in reading:
        one.cancel()


async def test_a_wait_that_is_ended_leaves_its_task_as_it_was() -> None:
    """It was not the task that was cancelled."""
    _, one = watched(Patience(stall_seconds=100, least_rate=1, idle_seconds=100))

    async def handler() -> int:
        with pytest.raises(StreamIdle):
            await one.body.read()
        await asyncio.sleep(0)
        task = asyncio.current_task()
        return task.cancelling() if task else -1

    handling = asyncio.create_task(handler())
    await idle()
    one.body.end_wait(StreamIdle(limit=1))
    one.body.end_wait(StreamIdle(limit=1))
    assert await handling == 0


async def test_a_task_that_is_cancelled_is_cancelled() -> None:
    _, one = watched(Patience(stall_seconds=100, least_rate=1, idle_seconds=100))
    reading = asyncio.create_task(one.body.read())
    await idle()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
