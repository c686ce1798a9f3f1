"""Memory for large replies: who waits for it, when it is given back, and when a client has to go."""

import asyncio
import time
from typing import Any

import pytest

from conexiones.errors import ClientStalled, ServerBusy
from conexiones.shares import Caller
from conexiones.transport.chain import replies as module
from conexiones.transport.chain.body import Body
from conexiones.transport.chain.budget import HURRY_SECONDS
from conexiones.transport.chain.call import Call, Route
from conexiones.transport.chain.replies import FREE, PAGE, Outgoing, Replies

ANA, EVA = Caller("ana", "1"), Caller("eva", "1")


class Client:
    """Takes what a call sends while `reads` is set, and is there until it has gone."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.gone = asyncio.Event()
        self.taken = 0

    async def receive(self) -> Any:
        if self.gone.is_set():
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Any) -> None:
        await self.reads.wait()
        self.taken += len(message.get("body", b""))


def replies(pages: int, *, wait_seconds: float = 30.0, most_waiting: int = 100) -> Replies:
    return Replies(
        pages * PAGE, piece=1 << 16, window=1 << 16, wait_seconds=wait_seconds, most_waiting=most_waiting
    )


def outgoing(shared: Replies, caller: Caller = ANA, client: Client | None = None) -> Outgoing:
    return Outgoing(shared, caller, Body((client or Client()).receive))


def called(shared: Replies, client: Client) -> Call:
    scope = {"headers": [], "path": "/", "query_string": b"", "method": "GET", "client": ("127.0.0.1", 1)}

    async def endpoint(call: Call) -> None:
        raise NotImplementedError

    route = Route(service="a", method="b", endpoint=endpoint, needs="none")
    call = Call(scope, client.receive, client.send, route=route, protocol="http", index={})
    call.replies = shared
    assert call.sends()
    return call


async def test_small_replies_never_wait() -> None:
    shared = replies(1)
    await outgoing(shared).hold("page")
    await called(shared, Client()).room_for(FREE)
    assert shared.budget.held == PAGE


async def test_a_client_leaves_room_for_others() -> None:
    shared = replies(4)
    await outgoing(shared).hold("page")
    await outgoing(shared, Caller("ana", "2")).hold("page")
    third = asyncio.create_task(outgoing(shared, Caller("ana", "3")).hold("page"))
    await asyncio.sleep(0)
    assert not third.done()
    await outgoing(shared, EVA).hold("page")
    third.cancel()


async def test_what_cannot_wait_is_refused() -> None:
    shared = replies(1, most_waiting=1)
    first = outgoing(shared)
    await first.hold("page")
    second = asyncio.create_task(outgoing(shared, EVA).hold("page"))
    await asyncio.sleep(0)
    with pytest.raises(ServerBusy):
        await outgoing(shared, EVA).hold("page")
    first.release()
    await second


async def test_no_wait_is_endless() -> None:
    shared = replies(1, wait_seconds=0.01)
    await outgoing(shared).hold("page")
    with pytest.raises(ServerBusy):
        await outgoing(shared).hold("page")


async def test_it_is_held_until_the_client_has_everything() -> None:
    shared, client = replies(1), Client()
    held = outgoing(shared, client=client)
    await held.hold("page")
    flushing = asyncio.create_task(held.flushed(30.0))
    await asyncio.sleep(0)
    assert shared.budget.held == PAGE
    client.gone.set()
    await flushing
    assert not shared.budget.held
    assert not shared.budget.holders


async def test_it_is_given_back_when_nobody_reads_the_rest() -> None:
    shared = replies(1)
    held = outgoing(shared)
    await held.hold("page")
    await held.flushed(0.01)
    assert not shared.budget.held


async def test_a_client_that_takes_nothing_is_ended() -> None:
    call = called(replies(1), Client())
    assert call.outgoing
    sending = asyncio.create_task(call.send_piece(b"piece"))
    await asyncio.sleep(0.001)
    call.outgoing.check(stall_seconds=30.0, least_rate=1.0)
    await asyncio.sleep(0)
    assert not sending.done()
    call.outgoing.check(stall_seconds=0.0, least_rate=1e9)
    with pytest.raises(ClientStalled):
        await sending


async def test_a_client_that_reads_slowly_and_steadily_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(module, "time", type("Clock", (), {"monotonic": staticmethod(lambda: now)}))
    client = Client()
    call = called(replies(1), client)
    assert call.outgoing
    piece = bytes(1 << 18)
    for _ in range(100):  # a MiB a second
        client.reads.clear()
        sending = asyncio.create_task(call.send_piece(piece))
        await asyncio.sleep(0)
        now += 0.25
        call.outgoing.hurry()
        call.outgoing.check(stall_seconds=30.0, least_rate=8192)
        client.reads.set()
        await sending
    assert client.taken == 100 * len(piece)


async def test_a_cancelled_call_is_not_taken_for_a_stalled_client() -> None:
    call = called(replies(1), Client())
    sending = asyncio.create_task(call.send_piece(b"piece"))
    await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending


async def test_while_others_wait_the_greediest_has_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    shared, client = replies(2), Client()
    call = called(shared, client)
    assert call.outgoing
    await call.outgoing.hold("page")
    sending = asyncio.create_task(call.send_piece(b"piece"))
    await asyncio.sleep(0)
    await outgoing(shared, EVA).hold("page")
    late = time.monotonic() + HURRY_SECONDS + 1
    monkeypatch.setattr(module, "time", type("Clock", (), {"monotonic": staticmethod(lambda: late)}))
    waiting = asyncio.create_task(outgoing(shared, Caller("leo")).hold("page"))
    with pytest.raises(ClientStalled):
        await sending
    call.outgoing.release()
    await waiting


async def test_a_client_that_was_fast_and_stops_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(module, "time", type("Clock", (), {"monotonic": staticmethod(lambda: now)}))
    client = Client()
    call = called(replies(1), client)
    assert call.outgoing
    client.reads.set()
    await call.send_piece(bytes(1 << 20))
    client.reads.clear()
    sending = asyncio.create_task(call.send_piece(b"rest"))
    await asyncio.sleep(0)
    now = 29.0
    call.outgoing.check(stall_seconds=30.0, least_rate=8192)
    await asyncio.sleep(0)
    assert not sending.done()
    now = 31.0
    call.outgoing.check(stall_seconds=30.0, least_rate=8192)
    with pytest.raises(ClientStalled):
        await sending
