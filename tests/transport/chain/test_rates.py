"""Rates: what is let in at once and later, whose rate it is, and how long calls with many bytes wait."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from conexiones.errors import ClientStalled, RateExceeded
from conexiones.principals import LINK, Allowance, Principal, Terms
from conexiones.transport.chain import pace as pace_module
from conexiones.transport.chain import rates as module
from conexiones.transport.chain.call import Call
from conexiones.transport.chain.pace import BURST_SECONDS, FREE, LONGEST_SECONDS, RESERVE, Bucket, Pace
from conexiones.transport.chain.rates import Rates
from tests.support.waiting import DEADLINE, idle
from tests.transport.chain.calls import Client, call, nothing

SLOW = 0.001
"""A rate at which nothing comes in during a test."""


def came(principal: Principal, address: str = "127.0.0.1") -> Call:
    made = call(Client(), peer=(address, 1))
    made.comes_from(principal)
    return made


def somebody(owner: str = "token:a", calls: float | None = SLOW, size: float | None = None) -> Principal:
    allowance = Allowance(calls_per_second=calls, bytes_per_second=size)
    return Principal(subject=owner, owner=owner, credential="1", allowance=allowance)


async def let_in(rates: Rates, principal: Principal, address: str = "127.0.0.1") -> bool:
    try:
        await rates(came(principal, address), nothing)
    except RateExceeded:
        return False
    return True


async def test_a_burst_and_no_more() -> None:
    rates = Rates()
    principal = somebody(calls=100 + SLOW)
    started = time.monotonic()
    let = 0
    while await let_in(rates, principal):
        let += 1
    burst = 100 * BURST_SECONDS
    assert burst <= let <= burst + 1 + (time.monotonic() - started) * 101


async def test_a_refusal_says_when_to_come_back() -> None:
    rates, waits = Rates(), []
    principal = somebody(calls=0.5)
    for _ in range(50):
        try:
            await rates(came(principal), nothing)
        except RateExceeded as error:
            waits.append((error.retry_after or 0.0, error.facts))
    # The next call comes in within two seconds; they are told to come in two more.
    assert all(0 < wait <= 4 for wait, _ in waits)
    assert len({wait for wait, _ in waits}) == len(waits), "not all at once"
    assert all(facts == {"unit": "calls", "limit": 2, "seconds": 5} for _, facts in waits)


async def test_one_call_is_let_in_at_the_least_rate() -> None:
    rates = Rates()
    assert [await let_in(rates, somebody()) for _ in range(3)] == [True, False, False]


async def test_a_rate_of_zero_lets_nobody_in() -> None:
    for principal in (somebody(calls=0), somebody(calls=None, size=0)):
        with pytest.raises(RateExceeded) as error:
            await Rates()(came(principal), nothing)
        assert (error.value.retry_after or 0) >= LONGEST_SECONDS
        assert error.value.facts["limit"] == 0


async def test_who_has_no_rate_is_not_remembered() -> None:
    rates = Rates()
    for _ in range(100):
        assert await let_in(rates, somebody(calls=None))
    assert not rates._calls
    assert not rates._bytes


async def test_whose_rate_it_is() -> None:
    allowance = Allowance(calls_per_second=SLOW)
    ticket = Principal(
        subject="token:a",
        owner="token:a",
        credential="t",
        terms=Terms(bytes=1, images=1),
        allowance=allowance,
    )
    other_ticket = Principal(
        subject="token:a",
        owner="token:a",
        credential="u",
        terms=Terms(bytes=1, images=1),
        allowance=allowance,
    )
    link = Principal(subject=LINK, credential="1", allowance=allowance)
    nobody = Principal(allowance=allowance)
    rates = Rates()
    # Tokens of one name together, wherever they call from.
    assert await let_in(rates, somebody())
    assert not await let_in(rates, somebody(), "127.0.0.2")
    assert await let_in(rates, somebody("token:b"))
    # Each ticket.
    assert await let_in(rates, ticket)
    assert not await let_in(rates, ticket, "127.0.0.2")
    assert await let_in(rates, other_ticket)
    # Links, and those who show nothing, together by address.
    assert await let_in(rates, link)
    assert not await let_in(rates, nobody)
    assert await let_in(rates, nobody, "127.0.0.2")


async def test_a_token_of_the_same_name_with_another_rate() -> None:
    rates = Rates()
    assert await let_in(rates, somebody())
    assert not await let_in(rates, somebody())
    assert not await let_in(rates, somebody(calls=1000)), "the bucket fills faster, but is not full at once"
    await asyncio.sleep(2 / 1000)
    assert await let_in(rates, somebody(calls=1000))


async def test_only_so_many_callers_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CALLERS", 10)
    rates = Rates()
    for number in range(100):
        assert await let_in(rates, somebody(f"token:{number}", size=1000))
        assert await let_in(rates, somebody("token:99", calls=1000, size=1000))
    assert len(rates._calls) == len(rates._bytes) == 10


async def test_bytes_beyond_the_burst_wait_for_the_rate() -> None:
    """A call with many bytes leaves a part of the burst to others, and waits for the rest."""
    rate = 1 << 20
    bucket = Bucket(rate, least=FREE)
    pace, moved, started = Pace(bucket), 0, time.monotonic()
    while not (seconds := pace.due(FREE)):
        pace.moved(FREE)
        moved += FREE
    elapsed = time.monotonic() - started
    assert bucket.burst * (1 - RESERVE) - FREE <= moved <= bucket.burst * (1 - RESERVE) + rate * elapsed
    assert 0 < seconds <= FREE / rate
    # Those who come behind wait longer: for what is promised, too.
    waiting = [asyncio.create_task(Pace(bucket).rest(FREE, DEADLINE)) for _ in range(100)]
    await idle()
    assert pace.due(FREE) > 10 * FREE / rate
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert not bucket.promised


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time by which buckets fill: `now`, which the test moves."""
    clock = SimpleNamespace(now=1000.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(pace_module, "time", clock)
    return clock


async def test_a_piece_that_is_larger_than_the_burst_is_paid_for_once(clock: SimpleNamespace) -> None:
    bucket = Bucket(100 << 20, least=1)
    size = int(3 * bucket.burst)
    pace = Pace(bucket)
    seconds = pace.due(size)
    assert seconds >= (size - bucket.burst) / bucket.rate
    clock.now += seconds
    await pace.rest(size, seconds=0)
    assert bucket.level >= size, "what was promised comes in addition to the burst"
    pace.moved(size)
    assert bucket.level >= 0
    bucket.fill(bucket.rate)
    assert bucket.level <= bucket.burst


@pytest.mark.usefixtures("clock")
async def test_a_small_call_goes_on_beside_a_stream() -> None:
    bucket = Bucket(100_000, least=FREE)
    stream = Pace(bucket)
    stream.moved(int(bucket.burst * (1 - RESERVE)))
    assert stream.due(100)
    assert not Pace(bucket).due(FREE)
    assert Pace(bucket).due(FREE + 1)


async def test_who_waits_for_the_pace_does_not_stall() -> None:
    """Until the memory is needed by others."""
    client = Client()
    body = call(client).body
    body.pace = Pace(Bucket(1, least=FREE))
    client.write(bytes(2 * FREE))
    client.write(bytes(2 * FREE))
    reading = asyncio.create_task(body.read(within=True))
    await idle()
    assert client.asked == 1, "so that Envoy stops the client"
    assert body.silence() is None
    body.check(stall_seconds=0, least_rate=10**9, idle_seconds=0)
    await idle()
    assert not reading.done()
    assert body.progress()[0] > 0
    body.end_wait(ClientStalled(limit=1))
    with pytest.raises(ClientStalled):
        await reading
