"""Connections that take new calls only for a time."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from conexiones import AsyncClient
from conexiones.sdk import Stored
from conexiones.testing import Server
from tests.sdk.proxy import Proxy
from tests.sdk.test_client import changes
from tests.support.waiting import DEADLINE


async def test_an_old_connection_is_replaced_and_its_calls_go_on(
    start: Callable[..., Server], photograph: bytes
) -> None:
    """The proxy counts connections. No call fails meanwhile, and what watches stays where it is."""
    server = start(max_connection_age=1)
    async with (
        Proxy(server.address, 0, most_bytes=1, faulty=0) as proxy,
        AsyncClient(proxy.address, retries=0, patience=0.0) as client,
        asyncio.timeout(DEADLINE),
        aclosing(changes(client.watch())) as events,
    ):
        coming = asyncio.ensure_future(anext(events))
        while proxy.accepted < 3:
            assert (await client.get_user("Ana")).user.name == "Ana"
        stored = await client.upload(photograph)
        event = await coming
        assert isinstance(event, Stored)
        assert event.image.id == stored.id
        assert proxy.connections >= 2  # that of the watcher, too
