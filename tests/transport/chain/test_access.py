"""Calls end when their credential does, as the clock of the machine has it."""

import asyncio
import time

import pytest

from conexiones.errors import LinkExpired, TokenExpired, TokenRevoked
from conexiones.principals import LINK, Principal
from conexiones.transport.chain import access
from conexiones.transport.chain.access import Access
from conexiones.transport.chain.call import Call, Route


async def endless(call: Call) -> None:
    await asyncio.Event().wait()


def call() -> Call:
    route = Route(service="a", method="b", endpoint=endless, needs="any")
    scope = {
        "headers": [],
        "path": "/",
        "query_string": b"",
        "method": "POST",
        "client": ("127.0.0.1", 1),
    }

    async def nothing(*_: object) -> None:
        raise AssertionError("nothing is read or sent")

    return Call(scope, nothing, nothing, route=route, protocol="grpc", index={})


def step(principal: Principal) -> Access:
    return Access([lambda _: principal], nobody=Principal())


@pytest.mark.parametrize(("subject", "error"), [("a", TokenExpired), (LINK, LinkExpired)])
async def test_a_call_ends_when_its_credential_expires(
    monkeypatch: pytest.MonkeyPatch, subject: str, error: type[Exception]
) -> None:
    """Not at the first look already, and not with the time that a timer was told once."""
    monkeypatch.setattr(access, "LOOK_SECONDS", 0.001)
    clock, looks = 1000.0, 0

    def look() -> float:
        nonlocal clock, looks
        looks += 1
        clock = 1000.0 if looks < 5 else 10**9
        return clock

    monkeypatch.setattr(time, "time", look)
    who = Principal(subject=subject, credential="1", expires=10.0**8)
    with pytest.raises(error):
        await step(who)(call(), endless)
    assert looks >= 5


async def test_a_call_ends_when_its_credential_is_revoked() -> None:
    found = step(Principal(subject="a", credential="1"))
    begun = asyncio.Event()

    async def rest(_: Call) -> None:
        begun.set()
        await asyncio.Event().wait()

    calls = [asyncio.create_task(found(call(), rest)) for _ in range(2)]
    await begun.wait()
    found.end("2")
    found.end("1")
    found.end("1")
    for one in calls:
        with pytest.raises(TokenRevoked):
            await one
        assert not one.cancelled()
    assert not found._tasks
    assert not found._ended


async def test_a_call_that_is_cancelled_otherwise_stays_cancelled() -> None:
    found = step(Principal(subject="a", credential="1"))
    task = asyncio.create_task(found(call(), endless))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not found._tasks
