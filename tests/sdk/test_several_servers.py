"""Clients that are given several addresses. Two proxies stand for two servers that share their data."""

import asyncio
import hashlib
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import Any

import pytest

from conexiones import AsyncClient, Client, errors
from conexiones.domain.access import TOKEN, mint
from conexiones.sdk import Stored, Unreachable
from conexiones.sdk.connection import Connection, Options
from conexiones.testing import Server
from tests.sdk.proxy import Proxy
from tests.sdk.test_client import changes
from tests.support.node import PROGRAMS, run

PATIENCE = 60.0


@pytest.fixture
def nobody() -> Iterator[Callable[[], str]]:
    """Gives addresses at which nobody listens, and nobody else can as long as the test takes."""
    with ExitStack() as stack:

        def give() -> str:
            held = stack.enter_context(socket.socket())
            held.bind(("127.0.0.1", 0))
            return f"127.0.0.1:{held.getsockname()[1]}"

        yield give


class Servers:
    """`first` and `second`, behind which there is one server, and where both are."""

    def __init__(self, first: Proxy, second: Proxy) -> None:
        self.proxies = [first, second]
        self.address = f"{first.address},{second.address}"

    async def kill_used(self) -> None:
        """Ends the one that the only client uses."""
        (proxy,) = (proxy for proxy in self.proxies if proxy.connections)
        await proxy.end()


@pytest.fixture
async def servers(shared: Server) -> AsyncIterator[Servers]:
    async with (
        Proxy(shared.address, 0, most_bytes=1, faulty=0) as first,
        Proxy(shared.address, 0, most_bytes=1, faulty=0) as second,
    ):
        yield Servers(first, second)


@pytest.mark.parametrize("good", [0, 1])
def test_a_server_that_is_not_there_is_passed_by(
    shared: Server, nobody: Callable[[], str], good: int
) -> None:
    addresses = [nobody(), nobody()]
    addresses[good] = shared.address
    for _ in range(4):  # whichever is tried first
        with Client(",".join(addresses)) as client:
            assert client.get_user("Ana").user.name == "Ana"


async def test_clients_spread_over_the_servers(shared: Server) -> None:
    address = f"{shared.address},localhost:{shared.port}"
    used = {AsyncClient(address)._connection.address for _ in range(64)}
    assert used == set(address.split(","))


def test_where_none_is_there_one_of_them_is_named(nobody: Callable[[], str]) -> None:
    addresses = [nobody(), nobody()]
    with Client(",".join(addresses), retries=1) as client, pytest.raises(Unreachable) as error:
        client.get_user("Ana")
    assert error.value.facts["address"] in addresses


async def test_the_one_that_did_not_answer_is_named(shared: Server, nobody: Callable[[], str]) -> None:
    """And not the next one, which nobody has tried."""
    gone = nobody()
    while True:
        async with AsyncClient(f"{gone},{shared.address}", retries=0, patience=0) as client:
            if client._connection.address != gone:
                continue  # one of them is tried first
            with pytest.raises(Unreachable) as error:
                await client.get_user("Ana")
            assert error.value.facts["address"] == gone
            break


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("localhost:1,", "The address is empty"),
        ("localhost:1,localhost", "'localhost' has no port"),
        ("localhost:1, localhost:2", "' localhost:2' is not of the form"),
    ],
)
def test_each_has_to_be_an_address(address: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Client(address)


def test_a_token_leaves_this_machine_for_none_of_them() -> None:
    with pytest.raises(ValueError, match=r"The token would go to 192\.0\.2\.1:50051 without"):
        Client("127.0.0.1:50051,192.0.2.1:50051", token=mint(TOKEN))


async def test_an_upload_goes_on_at_the_other_one(servers: Servers, scan: bytes, tmp_path: Path) -> None:
    path = tmp_path / "scan.bmp"
    path.write_bytes(scan)
    killed: list[asyncio.Task[None]] = []
    seen: list[int] = []
    async with AsyncClient(servers.address, patience=PATIENCE) as client:

        def progress(done: int, _: int | None) -> None:
            seen.append(done)
            if not killed and done > len(scan) // 3:
                killed.append(asyncio.create_task(servers.kill_used()))

        image = await client.upload(path, progress=progress)
        assert image.sha256 == hashlib.sha256(scan).digest()
        assert killed
        assert seen == sorted(seen)  # what was acknowledged is not sent again
        assert await client.download(image.id) == scan


async def test_watching_goes_on_at_the_other_one(servers: Servers, photograph: bytes, somebody: str) -> None:
    ready = asyncio.Event()
    async with (
        AsyncClient(servers.address, patience=PATIENCE) as client,
        aclosing(changes(client.watch(user=somebody, ready=lambda _: ready.set()))) as events,
        asyncio.timeout(PATIENCE),
    ):
        coming = asyncio.ensure_future(anext(events))
        await ready.wait()
        stored = []
        for _ in range(3):
            stored.append(await client.upload(photograph, user=somebody))
            event = await coming
            assert isinstance(event, Stored)
            assert event.image.id == stored[-1].id
            coming = asyncio.ensure_future(anext(events))
            if len(stored) == 1:
                await servers.kill_used()
        coming.cancel()
        await asyncio.wait({coming})


async def test_a_call_goes_to_the_next_one_when_the_server_is_about_to_end() -> None:
    options: dict[str, Any] = dict.fromkeys(("ca", "cert", "key"))
    connection = Connection(
        Options(address="a:1,b:2", tls=False, timeout=1, retries=0, patience=1, **options)
    )
    before = connection.address
    with pytest.raises(errors.ServerDraining):
        async with connection.use():
            raise errors.ServerDraining
    assert {before, connection.address} == {"a:1", "b:2"}
    with pytest.raises(errors.ImageNotFound):
        async with connection.use():
            raise errors.ImageNotFound(id="none")
    assert connection.address != before
    await connection.close()


async def test_an_upload_by_node_goes_on_at_the_other_one(
    node: str, servers: Servers, scan: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "scan.bmp"
    path.write_bytes(scan)
    process = await asyncio.create_subprocess_exec(
        *(node, str(PROGRAMS / "move.js"), "put", str(path)),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"CONEXIONES_ADDRESS": servers.address},
    )
    assert process.stdout
    seen: list[int] = []
    killed, image = False, {}
    async for line in process.stdout:
        image = json.loads(line)
        seen.append(image.get("bytes", len(scan)))
        if not killed and seen[-1] > len(scan) // 3:
            killed = True
            await servers.kill_used()
    assert await process.wait() == 0
    assert killed
    assert seen == sorted(seen)
    assert image["sha256"] == hashlib.sha256(scan).hexdigest()


def test_node_passes_by_what_is_not_there_and_names_what_is_wrong(
    node: str, shared: Server, nobody: Callable[[], str]
) -> None:
    said = json.loads(run(node, "--input-type=module", "--eval", PROGRAM, shared.address, nobody(), nobody()))
    assert said["names"] == ["Ana"] * 4
    assert said["nobody"] == "UnreachableError"
    assert said["wrong"] == ["INVALID_FIELD", "INVALID_FIELD"]


PROGRAM = """
import { Client } from "conexiones";
const [good, away, gone] = process.argv.slice(1);
const names = [];
for (const address of [`${away},${good}`, `${good},${away}`, `${away},${good}`, `${good},${away}`]) {
  const client = new Client(address);
  names.push((await client.getUser({ name: "Ana" })).user.name);
  client.close();
}
const none = new Client({ address: `${away},${gone}`, patienceMs: 500 });
const { name } = await none.getUser({ name: "Ana" }).catch((error) => error);
none.close();
const wrong = ["localhost:1,", "localhost:1,localhost"].map((address) => {
  try {
    return new Client(address).close();
  } catch (error) {
    return error.reason;
  }
});
console.log(JSON.stringify({ names, nobody: name, wrong }));
"""
