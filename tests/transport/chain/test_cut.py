"""Calls end when their credential does, as the clock of the machine has it, and when the grace is over."""

import asyncio
import time

import pytest

from conexiones.errors import LinkExpired, LinkInvalid, ServerDraining, TokenExpired, TokenRevoked
from conexiones.principals import LINK, Principal
from conexiones.transport.chain import cut
from conexiones.transport.chain.call import Call
from conexiones.transport.chain.cut import Cut
from tests.transport.chain.calls import Client, call


async def endless(call: Call) -> None:
    await asyncio.Event().wait()


def call_of(principal: Principal) -> Call:
    found = call(Client())
    found.comes_from(principal)
    return found


@pytest.mark.parametrize(("subject", "error"), [("a", TokenExpired), (LINK, LinkExpired)])
async def test_a_call_ends_when_its_credential_expires(
    monkeypatch: pytest.MonkeyPatch, subject: str, error: type[Exception]
) -> None:
    """Not at the first look already, and not with the time that a timer was told once."""
    monkeypatch.setattr(cut, "LOOK_SECONDS", 0.001)
    clock, looks = 1000.0, 0

    def look() -> float:
        nonlocal clock, looks
        looks += 1
        clock = 1000.0 if looks < 5 else 10**9
        return clock

    monkeypatch.setattr(time, "time", look)
    step = Cut()
    with pytest.raises(error):
        await step(call_of(Principal(subject=subject, credential="1", expires=10.0**8)), endless)
    assert looks >= 5


async def test_each_call_ends_with_its_own_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    """One timer serves all: it is set anew for a call whose credential expires earlier, and for the rest."""
    monkeypatch.setattr(cut, "LEAST_SECONDS", 0.0)
    step, now = Cut(), time.time()
    ends = {"late": now + 0.1, "never": None, "early": now + 0.05}
    calls = {
        name: asyncio.create_task(step(call_of(Principal(subject=name, expires=expires)), endless))
        for name, expires in ends.items()
    }
    for name in ("early", "late"):
        with pytest.raises(TokenExpired):
            await calls[name]
    assert not calls["never"].done()
    assert step._timer is None  # nothing is left that could expire
    step.all()
    with pytest.raises(ServerDraining):
        await calls["never"]
    with pytest.raises(ServerDraining):
        await step(call_of(Principal()), endless)


async def test_calls_end_when_their_credential_is_revoked() -> None:
    step, begun = Cut(), asyncio.Semaphore(0)

    async def rest(_: Call) -> None:
        begun.release()
        await asyncio.Event().wait()

    calls = [
        asyncio.create_task(step(call_of(Principal(subject="a", credential=credential)), rest))
        for credential in "1123"
    ]
    for _ in calls:
        await begun.acquire()
    step.revoked({"0"})
    step.revoked({"1", "2"})
    step.revoked({"1"})
    for one in calls[:3]:
        with pytest.raises(TokenRevoked):
            await one
        assert not one.cancelled()
    assert list(step._open) == calls[3:]
    assert not step._ended
    step.all()
    with pytest.raises(ServerDraining):
        await calls[3]


async def test_calls_by_links_end_together() -> None:
    step, begun = Cut(), asyncio.Semaphore(0)

    async def rest(_: Call) -> None:
        begun.release()
        await asyncio.Event().wait()

    calls = [
        asyncio.create_task(step(call_of(Principal(subject=subject, credential="1")), rest))
        for subject in (LINK, "token:link")
    ]
    for _ in calls:
        await begun.acquire()
    step.links()
    with pytest.raises(LinkInvalid):
        await calls[0]
    assert list(step._open) == calls[1:]
    step.all()
    with pytest.raises(ServerDraining):
        await calls[1]


async def test_the_call_that_revokes_its_own_credential_is_answered() -> None:
    step = Cut()

    async def rest(_: Call) -> None:
        step.revoked({"1"})
        await asyncio.sleep(0)

    await step(call_of(Principal(subject="a", credential="1")), rest)


async def test_a_call_that_is_cancelled_otherwise_stays_cancelled() -> None:
    step = Cut()
    task = asyncio.create_task(step(call_of(Principal(subject="a", credential="1")), endless))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not step._open
