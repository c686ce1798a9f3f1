"""Real calls through the recording proxy."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc

from conexiones.addresses import split
from conexiones.wire.contract import Contract
from conexiones.wire.events import Event, problem_of
from conexiones.wire.proxy import Proxy
from conexiones.wire.recorder import Recorder

OURS = Contract.ours()


@asynccontextmanager
async def recording(address: str, events: list[Event]) -> AsyncIterator[Proxy]:
    host, port = split(address)
    proxy = Proxy(host, port, Recorder(OURS, events.append))
    await proxy.open()
    async with proxy:
        yield proxy


def record(
    address: str, call: Callable[[grpc.aio.Channel], Awaitable[Any]], into: list[Event] | None = None
) -> list[Event]:
    """What goes over the wire during a call of gRPC. Nothing of it may be wrong. `into` has it meanwhile."""
    events: list[Event] = [] if into is None else into

    async def made() -> None:
        options = [("grpc.default_authority", address), ("grpc.use_local_subchannel_pool", 1)]
        async with (
            recording(address, events) as proxy,
            grpc.aio.insecure_channel(f"unix:{proxy.path}", options=options) as channel,
        ):
            await call(channel)

    asyncio.run(made())
    assert [problem for event in events if (problem := problem_of(event.part))] == []
    return events


def record_http1(address: str, call: Callable[[str], Any]) -> list[Event]:
    """The same of a call over HTTP/1.1, which is given the path of the socket, and blocks."""
    events: list[Event] = []

    async def made() -> None:
        async with recording(address, events) as proxy:
            await asyncio.to_thread(call, proxy.path)

    asyncio.run(made())
    assert [problem for event in events if (problem := problem_of(event.part))] == []
    return events


def of(events: list[Event], kind: str, *, sent: bool) -> list[Event]:
    return [event for event in events if event.part.kind == kind and event.sent == sent]


def value(event: Event, name: str) -> Any:
    """The value of a field of a message; of bytes and messages the size."""
    assert event.part.message is not None
    assert event.part.message.fields is not None
    (field,) = [one for one in event.part.message.fields.fields if one.name == name]
    return field.size if isinstance(field.value, bytes | None) else field.value


def header(event: Event, name: str) -> str:
    return next(one.value for one in event.part.headers if one.name == name)
