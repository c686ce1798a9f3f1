"""The balancer of deploy/scale before real servers with the settings of its compose file."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import count
from pathlib import Path

import grpc
import pytest

from conexiones import AsyncClient
from conexiones.gen.conexiones.v1.images_pb2 import GetImageRequest
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.sdk import Described, Stored
from conexiones.testing import Server, serve
from tests.deploy.scale import Balancer, balancer, secrets, services
from tests.support.bitmaps import bitmap
from tests.support.kept import DECODE_SECONDS
from tests.support.lengths import THOROUGH
from tests.support.node import PACKAGE
from tests.support.postgres import Engine
from tests.support.scrapes import scraped, value
from tests.support.seaweed import ObjectServer
from tests.support.waiting import DEADLINE, until

LARGE = b"".join(bitmap(700, 500))  # 1 MB
PIECE = 128 << 10


@dataclass
class Scale:
    """Two servers, the balancer before them, and the administrator's token."""

    servers: list[Server]
    balancer: Balancer
    token: str
    audit: list[Path]

    def client(self) -> AsyncClient:
        return AsyncClient(self.balancer.address, token=self.token, patience=DEADLINE)

    def fetched(self, path: str) -> tuple[int, bytes]:
        """By plain HTTP/1.1, at the first attempt."""
        host, _, port = self.balancer.address.rpartition(":")
        with closing(HTTPConnection(host, int(port), timeout=DEADLINE)) as connection:
            connection.request("GET", path, headers={"authorization": f"Bearer {self.token}"})
            answer = connection.getresponse()
            return answer.status, answer.read()


@pytest.fixture(scope="module")
def scale(
    postgres: Engine, object_server: ObjectServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scale]:
    folder = tmp_path_factory.mktemp("scale")
    environment = services(secrets(folder))["conexiones"]["environment"]
    database = postgres.schema()
    given = {
        name.removeprefix("CONEXIONES_").lower(): value
        for name, value in environment.items()
        if name.startswith("CONEXIONES_")
    } | {
        "database": database,
        "blobs": f"s3://{object_server.bucket()}/images",
        "s3_endpoint": object_server.url,
        "cache_dir": str(folder / "cache"),
        "admin_address": "127.0.0.1:0",
        "auth": "required",  # as the image has it
        "decode_seconds": DECODE_SECONDS,
        "decode_workers": 1,
    }
    command = [sys.executable, "-m", "conexiones", "token", "first", "--database", database]
    token = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, environment[name])
        audit = [folder / f"audit-{number}.log" for number in range(2)]
        servers = [stack.enter_context(serve(**given, audit_log=log)) for log in audit]
        before = stack.enter_context(balancer(folder, [server.address for server in servers]))
        yield Scale(servers, before, token, audit)


def calls(server: Server) -> float:
    """Those that have ended at a server, without those of health."""
    return value(scraped(server), "conexiones_calls_total", credential="token")


async def test_every_kind_of_call_passes(scale: Scale, photograph: bytes) -> None:
    before = [calls(server) for server in scale.servers]
    async with scale.client() as client:
        assert (await client.get_user("Ana", 12)).message == "¡Hola, Ana! Tu pow es 12 y su cuadrado es 144."
        heard, ready = asyncio.Queue[str](), asyncio.Event()

        async def watch() -> None:
            async for event in client.watch(ready=lambda _: ready.set()):
                if isinstance(event, Stored):
                    heard.put_nowait(event.image.id)

        watching = asyncio.create_task(watch())
        await ready.wait()
        small = await client.upload(photograph)
        large = await client.upload(LARGE, chunk_size=PIECE)
        assert [await heard.get(), await heard.get()] == [small.id, large.id]
        watching.cancel()
        assert await client.download(large.id) == LARGE
        for _ in range(20):
            await client.image(small.id)
    for path, found in ((f"/images/{small.id}", photograph), (f"/images/{large.id}", LARGE)):
        assert await asyncio.to_thread(scale.fetched, path) == (200, found)
    status, page = await asyncio.to_thread(scale.fetched, "/")
    assert status == 200
    assert b"<html" in page
    assert all(calls(server) > was for server, was in zip(scale.servers, before, strict=True))


def test_the_page_can_sign_in(scale: Scale) -> None:
    """Its origin is that of the balancer, whose name it shows in the Host."""
    host, _, port = scale.balancer.address.rpartition(":")
    origin = {"origin": f"http://{host}:{port}"}
    with closing(HTTPConnection(host, int(port), timeout=DEADLINE)) as connection:
        connection.request("POST", "/session", "", {"authorization": f"Bearer {scale.token}", **origin})
        answer = connection.getresponse()
        answer.read()
        cookie = {"cookie": answer.headers["set-cookie"].partition(";")[0]}
        asked = {"content-type": "application/json", **origin, **cookie}
        connection.request("POST", "/conexiones.v1.StatusService/GetStatus", "{}", asked)
        assert connection.getresponse().status == 200


def test_servers_know_whose_calls_these_are(scale: Scale) -> None:
    """The balancer says it, and not the client."""
    host, _, port = scale.balancer.address.rpartition(":")
    source = ("127.0.0.9", 0)
    with closing(HTTPConnection(host, int(port), timeout=DEADLINE, source_address=source)) as connection:
        headers = {"authorization": "Bearer wrong", "x-forwarded-for": "192.0.2.7"}
        connection.request("GET", "/images/none", headers=headers)
        assert connection.getresponse().status == 401
    refused: list[str] = []

    def written() -> bool:
        lines = [json.loads(line) for log in scale.audit for line in log.read_text().splitlines()]
        refused[:] = [line["peer"] for line in lines if line["object"].get("id") == "none"]
        return bool(refused)

    asyncio.run(until(written))
    assert [peer.partition(":")[0] for peer in refused] == ["127.0.0.9"]


NODE = """
import { Client } from "conexiones";
const [address, token] = process.argv.slice(1);
const client = new Client(address, { token, patienceMs: 60_000 });
let on = true;
process.stdin.resume().on("end", () => { on = false; });
for (let seed = 0; on; seed++) {
  const picture = Buffer.alloc(54 + 16 * 16 * 3, seed % 250);
  picture.write("BM");
  picture.writeUInt32LE(picture.length, 2);
  [0, 54, 40, 16, 16].forEach((number, at) => picture.writeUInt32LE(number, 6 + 4 * at));
  picture.writeUInt16LE(1, 26);
  picture.writeUInt16LE(24, 28);
  picture.fill(0, 30, 54);
  const { id } = await client.upload(picture);
  const got = await client.download(id);
  if (!picture.equals(got)) throw new Error("other bytes came back");
  console.log(id);
}
client.close();
"""


class Load:
    """What clients do all the time. Whatever error one of them sees ends `running` with it."""

    def __init__(self, scale: Scale, node: str) -> None:
        self._scale = scale
        self._node = node
        self._going = True
        self._done: dict[str, int] = {}
        self._more = asyncio.Condition()
        self.stored: dict[str, bytes] = {}
        self.by_node: list[str] = []
        self.heard: list[str] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group, self._scale.client() as client:
            ready = asyncio.Event()
            watching = group.create_task(self._watch(client, ready))
            await ready.wait()
            workers = [
                group.create_task(self._small(client)),
                group.create_task(self._large(client)),
                group.create_task(self._with_node()),
            ]
            try:
                yield
            finally:
                self._going = False
            await asyncio.wait(workers)
            async with asyncio.timeout(DEADLINE), self._more:
                await self._more.wait_for(lambda: {*self.stored, *self.by_node} <= set(self.heard))
            watching.cancel()

    async def progress(self) -> None:
        """Waits until each of them has done something that it began later than now."""
        before = dict(self._done)
        async with asyncio.timeout(DEADLINE), self._more:
            await self._more.wait_for(
                lambda: (
                    len(self._done) == 3
                    and all(done >= before.get(what, 0) + 3 for what, done in self._done.items())
                )
            )

    async def _did(self, what: str) -> None:
        self._done[what] = self._done.get(what, 0) + 1
        async with self._more:
            self._more.notify_all()

    async def _small(self, client: AsyncClient) -> None:
        for seed in count():
            if not self._going:
                return
            data = b"".join(bitmap(8 + seed // 250, 8, seed=seed))
            id = (await client.upload(data)).id
            assert await client.download(id) == data
            self.stored[id] = data
            await self._did("small")

    async def _large(self, client: AsyncClient) -> None:
        for seed in count():
            if not self._going:
                return
            data = b"".join(bitmap(700 + seed, 500))
            id = (await client.upload(data, chunk_size=PIECE)).id
            assert await client.download(id) == data
            self.stored[id] = data
            await self._did("large")

    async def _with_node(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *(self._node, "--input-type=module", "--eval", NODE),
            *(self._scale.balancer.address, self._scale.token),
            cwd=PACKAGE,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdin
        assert process.stdout
        assert process.stderr
        try:
            async for line in process.stdout:
                self.by_node.append(line.decode().strip())
                await self._did("node")
                if not self._going:
                    process.stdin.close()
            assert await process.wait() == 0, (await process.stderr.read()).decode()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def _watch(self, client: AsyncClient, ready: asyncio.Event) -> None:
        async for event in client.watch(ready=lambda _: ready.set()):
            if not isinstance(event, Stored):
                assert isinstance(event, Described)
                continue
            self.heard.append(event.image.id)
            async with self._more:
                self._more.notify_all()


@asynccontextmanager
async def once(scale: Scale, image: str) -> AsyncIterator[None]:
    """Reads that are never repeated here, by gRPC and by HTTP, none of which may fail."""
    going = True

    async def by_grpc() -> None:
        options = [("grpc.enable_retries", 0)]
        async with grpc.aio.insecure_channel(scale.balancer.address, options=options) as channel:
            stub = ImageServiceStub(channel)
            while going:
                await stub.GetImage(
                    GetImageRequest(id=image),
                    metadata=[("authorization", f"Bearer {scale.token}")],
                    timeout=DEADLINE,
                )

    async def by_http() -> None:
        while going:
            status, _ = await asyncio.to_thread(scale.fetched, f"/images/{image}")
            assert status == 200

    async with asyncio.TaskGroup() as group:
        group.create_task(by_grpc())
        group.create_task(by_http())
        try:
            yield
        finally:
            going = False


@THOROUGH
async def test_nobody_sees_that_servers_are_killed_and_drained(scale: Scale, node: str) -> None:
    one, other = scale.servers
    load = Load(scale, node)
    async with load.running():
        await load.progress()
        await asyncio.to_thread(one.kill)
        await load.progress()
        await asyncio.to_thread(one.start)
        await scale.balancer.has(healthy=2)
        before = calls(one)
        await load.progress()
        assert calls(one) > before, "it gets calls again"
        async with once(scale, next(iter(load.stored))):
            await asyncio.to_thread(other.stop)
            await load.progress()
        await asyncio.to_thread(other.start)
        await scale.balancer.has(healthy=2)
        await load.progress()
    assert len(load.heard) == len(set(load.heard)) == len(load.stored) + len(load.by_node)
