"""Servers behind a name that changes, and servers that stand still: clients go on at another one."""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from conexiones import AsyncClient, errors
from conexiones.sdk import Stored, events
from conexiones.sdk.connection import Options
from conexiones.testing import Server
from tests.sdk.names import names
from tests.sdk.proxy import Proxy
from tests.sdk.test_client import changes
from tests.support.node import PROGRAMS
from tests.support.waiting import DEADLINE


class Pair(NamedTuple):
    """Two ways to one server, at one port of two addresses."""

    first: Proxy
    second: Proxy


@pytest.fixture
async def pair(shared: Server) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        while True:
            first = Proxy(shared.address, 0, most_bytes=1, faulty=0)
            await stack.enter_async_context(first)
            port = int(first.address.rpartition(":")[2])
            second = Proxy(shared.address, 0, most_bytes=1, faulty=0, host="127.0.0.2", port=port)
            with suppress(OSError):  # somebody has the port there
                await stack.enter_async_context(second)
                break
        yield Pair(first, second)


async def test_a_client_follows_a_name_whose_servers_change(
    pair: Pair, scan: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[asyncio.Task[None]] = []
    async with names("127.0.0.1") as found:
        # The SDK's own target asks the machine's servers of DNS.
        monkeypatch.setattr(Options, "target", lambda self, address: f"dns://{found.place}/{address}")

        def progress(done: int, _: int | None) -> None:
            if not moved and done > len(scan) // 3:
                found.addresses = ["127.0.0.2"]
                moved.append(asyncio.create_task(pair.first.end()))

        async with AsyncClient(f"servers.test:{_port(pair)}", patience=DEADLINE) as client:
            image = await client.upload(scan, progress=progress)
            assert image.sha256 == hashlib.sha256(scan).digest()
    assert moved
    assert pair.second.accepted


def _port(pair: Pair) -> str:
    return pair.first.address.rpartition(":")[2]


NAMES = """
import { readFileSync } from "node:fs";
import dns from "node:dns";
const found = () => [{ address: readFileSync(process.env.NAMES, "utf8"), family: 4 }];
dns.promises.lookup = async () => found();
"""
"""Has the resolver of Node.js answer what a file says."""


async def test_node_follows_a_name_whose_servers_change(
    node: str, pair: Pair, scan: bytes, tmp_path: Path
) -> None:
    path, told, module = tmp_path / "scan.bmp", tmp_path / "names", tmp_path / "names.mjs"
    path.write_bytes(scan)
    told.write_text("127.0.0.1")
    module.write_text(NAMES)
    process = await asyncio.create_subprocess_exec(
        *(node, "--import", str(module), str(PROGRAMS / "move.js"), "put", str(path)),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"CONEXIONES_ADDRESS": f"servers.test:{_port(pair)}", "NAMES": str(told)},
    )
    assert process.stdout
    moved, image = False, {}
    async for line in process.stdout:
        image = json.loads(line)
        if not moved and image.get("bytes", 0) > len(scan) // 3:
            moved = True
            told.write_text("127.0.0.2")
            await pair.first.end()
    assert await process.wait() == 0
    assert moved
    assert pair.second.accepted
    assert image["sha256"] == hashlib.sha256(scan).hexdigest()


def _used(pair: Pair, client: AsyncClient) -> Proxy:
    """The one that the client uses for its next call. It may have a connection to the other one, too, if it
    has just left that."""
    (proxy,) = (proxy for proxy in pair if proxy.address == client._connection.address)
    return proxy


def _takes(client: AsyncClient, timeout: float) -> None:
    """From now on, calls of the client may take so many seconds."""
    connection = client._connection
    connection.options = replace(connection.options, timeout=timeout)


async def test_a_server_that_stands_still_is_left_when_the_time_of_a_call_is_over(pair: Pair) -> None:
    async with AsyncClient(f"{pair.first.address},{pair.second.address}", timeout=DEADLINE) as client:
        await client.get_user("Ana")
        _used(pair, client).stand_still()
        _takes(client, 0.5)  # this call alone, as a busy machine may take longer to answer the others
        with pytest.raises(errors.DeadlineExceeded):
            await client.get_user("Ana")
        _takes(client, DEADLINE)
        assert (await client.get_user("Ana")).user.name == "Ana"


async def test_an_upload_goes_on_when_a_server_stands_still(pair: Pair, scan: bytes) -> None:
    stopped: list[Proxy] = []

    def progress(done: int, _: int | None) -> None:
        if not stopped and done > len(scan) // 3:
            stopped.append(_used(pair, client))
            stopped[0].stand_still()

    address = f"{pair.first.address},{pair.second.address}"
    async with AsyncClient(address, timeout=1, patience=DEADLINE) as client:
        image = await client.upload(scan, progress=progress)
        assert image.sha256 == hashlib.sha256(scan).digest()
    assert stopped


async def test_watching_goes_on_when_a_server_stands_still(
    pair: Pair, shared: Server, photograph: bytes, somebody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "SILENCE_SECONDS", 1.0)
    ready = asyncio.Event()
    address = f"{pair.first.address},{pair.second.address}"
    async with (
        AsyncClient(address, patience=DEADLINE) as client,
        AsyncClient(shared.address) as other,
        aclosing(changes(client.watch(user=somebody, ready=lambda _: ready.set()))) as happening,
        asyncio.timeout(DEADLINE),
    ):
        coming = asyncio.ensure_future(anext(happening))
        await ready.wait()
        _used(pair, client).stand_still()
        stored = await other.upload(photograph, user=somebody)
        event = await coming
        assert isinstance(event, Stored)
        assert event.image.id == stored.id
