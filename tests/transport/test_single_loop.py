"""Calls end before the event loop that they run on."""

import asyncio
import logging
from typing import Any

import pytest
import uvloop

from conexiones.transport.single_loop import SingleLoop
from tests.support.waiting import DEADLINE


async def test_calls_have_ended_when_the_application_hears_of_its_end() -> None:
    """After "lifespan.shutdown.complete" pyvoy panics at a receive() or send()."""
    said: list[str] = []
    startup, shutdown = asyncio.Event(), asyncio.Event()
    begun = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            said.append((await receive())["type"])
            await send({"type": "lifespan.startup.complete"})
            said.append((await receive())["type"])
            await send({"type": "lifespan.shutdown.complete"})
            return
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            said.append("the call has ended")

    async def life() -> Any:
        if not startup.is_set():
            startup.set()
            return {"type": "lifespan.startup"}
        await shutdown.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: Any) -> None:
        said.append(message["type"])

    single = SingleLoop(app)
    living = asyncio.create_task(single({"type": "lifespan"}, life, send))
    await startup.wait()
    call = asyncio.create_task(single({"type": "http"}, life, send))
    await begun.wait()
    shutdown.set()
    async with asyncio.timeout(DEADLINE):
        await living
    assert said == [
        "lifespan.startup",
        "lifespan.startup.complete",
        "the call has ended",
        "lifespan.shutdown",
        "lifespan.shutdown.complete",
    ]
    await call  # It is not cancelled: pyvoy would print that.


async def test_a_call_of_another_loop_ends_with_the_first() -> None:
    """With HTTP/3 pyvoy has two loops, and the calls of both run on the first."""
    shutdown, begun = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await receive()
        else:
            begun.set()
            await asyncio.Event().wait()

    async def startup() -> Any:
        return {"type": "lifespan.startup"}

    async def life() -> Any:
        if begun.is_set():
            await shutdown.wait()
            return {"type": "lifespan.shutdown"}
        await begun.wait()
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        pass

    single = SingleLoop(app)

    async def elsewhere() -> None:
        living = asyncio.create_task(single({"type": "lifespan"}, asyncio.Event().wait, send))
        await asyncio.sleep(0)
        await single({"type": "http"}, startup, send)
        living.cancel()

    living = asyncio.create_task(single({"type": "lifespan"}, life, send))
    await asyncio.sleep(0)
    other = asyncio.create_task(asyncio.to_thread(asyncio.run, elsewhere()))
    await begun.wait()
    shutdown.set()
    async with asyncio.timeout(DEADLINE):
        await living
        await other


async def test_a_call_that_is_cancelled_by_itself_says_so() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
        else:
            raise asyncio.CancelledError

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        pass

    single = SingleLoop(app)
    await single({"type": "lifespan"}, receive, send)
    (ended,) = await asyncio.gather(single({"type": "http"}, receive, send), return_exceptions=True)
    assert isinstance(ended, asyncio.CancelledError)


@pytest.mark.parametrize("loops", [1, 2])
def test_what_pyvoy_does_to_a_cancelled_call_is_not_logged(
    caplog: pytest.LogCaptureFixture, loops: int
) -> None:
    """On neither of its loops: it sets the result of a send() that nobody waits for any more."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()

    async def receive() -> Any:
        return {"type": "lifespan.shutdown"}

    async def send(message: Any) -> None:
        pass

    async def live(single: SingleLoop) -> None:
        await single({"type": "lifespan"}, receive, send)
        loop = asyncio.get_running_loop()
        cancelled = loop.create_future()
        cancelled.cancel()
        loop.call_soon(cancelled.set_exception, OSError())
        loop.call_soon(_fail)
        await asyncio.sleep(0)

    single = SingleLoop(app)
    with caplog.at_level(logging.ERROR), asyncio.Runner() as first, asyncio.Runner() as second:
        for runner in (first, second)[:loops]:
            runner.run(live(single))
    assert len(caplog.records) == loops
    assert all("_fail" in record.message for record in caplog.records)


def _fail() -> None:
    raise asyncio.InvalidStateError


class SetResponseFutureException:
    """Has the name of a class of pyvoy's, whose instances are callbacks."""

    def __init__(self, future: "asyncio.Future[None]") -> None:
        self._future = future

    def __call__(self) -> None:
        self._future.set_exception(ConnectionError())


class Other(SetResponseFutureException):
    pass


@pytest.mark.parametrize(("callback", "lines"), [(SetResponseFutureException, 0), (Other, 1)])
def test_a_send_that_fails_when_it_was_cancelled_is_not_logged(
    caplog: pytest.LogCaptureFixture, callback: type[SetResponseFutureException], lines: int
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        sent = asyncio.get_running_loop().create_future()
        sent.cancel()
        asyncio.get_running_loop().call_soon(callback(sent))
        await asyncio.sleep(0)

    async def unused(*_: Any) -> Any:
        return None

    with caplog.at_level(logging.ERROR):
        uvloop.run(SingleLoop(app)({"type": "lifespan"}, unused, unused))
    assert len(caplog.records) == lines
