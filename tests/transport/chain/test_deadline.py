"""The end of a call's time, wherever it comes: while a message is read, and while a handler works."""

import asyncio

import pytest

from conexiones.errors import Cancelled, DeadlineExceeded, NotAnImage
from conexiones.transport.chain import deadline as module
from conexiones.transport.chain.call import Call, Endpoint
from conexiones.transport.chain.deadline import Deadline
from tests.support.waiting import DEADLINE
from tests.transport.chain.calls import Client, call


async def deadline(one: Call, rest: Endpoint) -> None:
    await Deadline()(one, rest)


async def reading(one: Call) -> None:
    while await one.body.read() is not None:
        pass


async def working(one: Call) -> None:
    await reading(one)
    await asyncio.Event().wait()


@pytest.mark.parametrize("end", [False, True], ids=["while it reads", "while it works"])
async def test_its_deadline(monkeypatch: pytest.MonkeyPatch, end: bool) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", DEADLINE)  # the deadline comes before the watch, however late
    client = Client()
    client.write(b"a", end=end)
    with pytest.raises(DeadlineExceeded):
        await deadline(call(client, seconds=0.02), working)
    assert not asyncio.all_tasks() - {asyncio.current_task()}


async def test_no_time_at_all() -> None:
    async def never(one: Call) -> None:
        raise AssertionError

    with pytest.raises(DeadlineExceeded):
        await deadline(call(Client(), seconds=0), never)


@pytest.mark.parametrize("end", [False, True], ids=["while it reads", "while it works"])
async def test_its_client_goes_away(end: bool) -> None:
    client = Client()
    client.write(b"a", end=end)
    client.leave()
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(Cancelled):
            await deadline(call(client, seconds=DEADLINE), working)


async def test_the_client_of_plain_http_goes_away() -> None:
    async def work(one: Call) -> None:
        await asyncio.Event().wait()

    client = Client()
    client.leave()
    one = call(client, protocol="http", verb="GET")
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(Cancelled):
            await deadline(one, work)
    assert one.gone, "so that the guard does not tell the log that an answer was broken off"


async def test_a_short_call_is_not_watched() -> None:
    client = Client()
    client.write(b"a", end=True)
    await deadline(call(client, seconds=DEADLINE), reading)
    assert client.asked == 1
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_handler_that_cancels_itself_has_failed() -> None:
    async def work(one: Call) -> None:
        raise asyncio.CancelledError

    with pytest.raises(Cancelled):
        await deadline(call(Client()), work)


async def test_who_cancels_the_call_from_outside_is_obeyed() -> None:
    client = Client()
    client.write(b"a", end=True)
    serving = asyncio.create_task(deadline(call(client, seconds=DEADLINE), working))
    await asyncio.sleep(0)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    assert serving.cancelled()


@pytest.mark.parametrize("error", [NotAnImage(field="image"), TimeoutError(), KeyError("x")])
async def test_an_error_of_the_handler_is_its_own(error: Exception) -> None:
    async def work(one: Call) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        await deadline(call(Client(), seconds=DEADLINE), work)
    assert caught.value is error


async def test_what_a_handler_says_when_it_is_told_to_stop_is_said() -> None:
    async def work(one: Call) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise NotAnImage(field="image") from None

    with pytest.raises(NotAnImage):
        await deadline(call(Client(), seconds=0.01), work)
