"""Watching when events are missing, and when the connection is dead without a sign of it."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from types import TracebackType
from typing import Self, cast

import pytest

from conexiones import AsyncClient, errors
from conexiones.sdk import Described, Event, Resync, Stored, events
from conexiones.testing import Server
from tests.sdk.test_client import changes
from tests.support.waiting import DEADLINE


class Wire:
    """A proxy before `target` that can fall silent: connections stay open and carry nothing any more."""

    def __init__(self, target: str) -> None:
        self.address = ""
        self.connections = 0
        self._target = target
        self._sound = asyncio.Event()  # for the connections that were made since the last silence
        self._tasks: set[asyncio.Task[None]] = set()

    def fall_silent(self) -> None:
        self._sound.set()
        self._sound = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        silence = self._sound
        host, _, port = self._target.rpartition(":")
        inward, outward = await asyncio.open_connection(host, int(port))
        try:
            with suppress(OSError):
                await asyncio.gather(
                    self._pump(reader, outward, silence), self._pump(inward, writer, silence)
                )
        finally:
            for end in (writer, outward):
                end.transport.abort()
            self._tasks.discard(task)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, silence: asyncio.Event
    ) -> None:
        while piece := await source.read(65536):
            if silence.is_set():
                continue  # swallowed
            sink.write(piece)
            await sink.drain()


async def test_a_silent_connection_is_given_up_and_nothing_is_missed(
    server: Server, photograph: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When heartbeats stay away, the client connects anew and goes on after the last event."""
    async with (
        Wire(server.address) as wire,
        AsyncClient(wire.address) as watcher,
        AsyncClient(server.address) as other,
    ):
        heartbeats: asyncio.Queue[str] = asyncio.Queue()
        async with aclosing(changes(watcher.watch(ready=heartbeats.put_nowait))) as seen:
            following = asyncio.ensure_future(anext(seen))
            await heartbeats.get()
            first = await other.upload(photograph)
            event = await following
            assert isinstance(event, Stored)
            assert event.image == first
            wire.fall_silent()
            # The watcher is not told of these two.
            second = await other.upload(photograph)
            third = await other.upload(photograph)
            assert wire.connections == 1
            # Nobody has waited for an event since the first one, so only now the silence begins.
            monkeypatch.setattr(events, "SILENCE_SECONDS", 2.0)
            told = [await anext(seen), await anext(seen)]
        assert [event.image.id for event in told if isinstance(event, Stored)] == [second.id, third.id]
        assert wire.connections >= 2


async def test_each_of_several_events_in_one_response_can_be_gone_on_after(
    serving: Server, somebody: str, photograph: bytes
) -> None:
    """What happened before somebody watches comes in few responses, and each event has a token of its own."""
    async with AsyncClient(serving.address) as client:
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        async with aclosing(changes(client.watch(user=somebody, ready=ready.set_result))) as seen:
            following = asyncio.ensure_future(anext(seen))
            await ready
            ids = [(await client.upload(photograph, user=somebody)).id for _ in range(5)]
            told = [await following, *[await anext(seen) for _ in range(4)]]
            await client.delete(ids[0])  # of which nobody is told who has not heard of it before
            told.append(await anext(seen))
        assert [event.image.id if isinstance(event, Stored) else "" for event in told] == [*ids, ""]
        for number, event in enumerate(told):
            async with aclosing(changes(client.watch(event.token, user=somebody))) as seen:
                rest = told[number + 1 :]
                assert [await anext(seen) for _ in rest] == rest


async def described(client: AsyncClient) -> None:
    """Waits until all images have facts, so that there are no more events of those."""
    left = {image.id async for image in client.images()}
    happening = cast("AsyncGenerator[Event, None]", client.watch("0"))
    async with asyncio.timeout(DEADLINE), aclosing(happening) as seen:
        async for event in seen:
            if isinstance(event, Stored | Described) and event.image.facts:
                left.discard(event.image.id)
            if not left:
                return


async def test_history_that_is_gone_is_a_resync(server: Server, photograph: bytes) -> None:
    async with AsyncClient(server.address) as client:
        first = await client.upload(photograph)
        async with aclosing(changes(client.watch("0"))) as seen:
            event = await anext(seen)
            assert isinstance(event, Stored)
            assert event.image == first
        for _ in range(3):
            await client.upload(photograph)
        await described(client)
        await asyncio.to_thread(server.stop)
        with sqlite3.connect(server.data_dir / "catalog.sqlite3") as catalog:
            # The server deletes the oldest events in this way when there are more than it keeps.
            assert catalog.execute("DELETE FROM events WHERE sequence <= 3").rowcount == 3
        catalog.close()
        await asyncio.to_thread(server.start)
        async with aclosing(changes(client.watch(event.token))) as seen:
            resync = await anext(seen)
            assert isinstance(resync, Resync)
            # The token of a Resync is where to go on: later events are told.
            following = asyncio.ensure_future(anext(seen))
            last = await client.upload(photograph)
            assert await following == Stored(last, str(int(resync.token) + 1))
        async with aclosing(changes(client.watch(resync.token))) as seen:
            again = await anext(seen)
            assert isinstance(again, Stored)
            assert again.image == last
        # A token from another data folder, later than every event here.
        async with aclosing(changes(client.watch("999999"))) as seen:
            assert isinstance(await anext(seen), Resync)
        # Text that is no token at all.
        with pytest.raises(errors.InvalidField) as caught:
            async with aclosing(changes(client.watch("yesterday"))) as seen:
                await anext(seen)
        assert caught.value.field == "resume_token"
