"""Shapes of traffic that would take much memory, and what they take of a server's.

    python -m tests.server.shapes [MEMORY …] [--only NAME]

starts a server with each bound on its memory, sends each shape to it, and prints a table: the largest sum of
the PSS of all its processes meanwhile, what is left five seconds after, and how long GetUser took for another
client of the same address.
"""

import argparse
import asyncio
import gzip
import json
import math
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

import grpc
import grpc.aio
import psutil

from conexiones.budgets import LEAST_STREAMS
from conexiones.gen.conexiones.v1.images_pb2 import DownloadImageRequest, ListImagesRequest
from conexiones.gen.user_pb2 import GetImage, GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server, serve
from tests.support.bitmaps import bitmap
from tests.support.calls import GET_USER
from tests.support.clients import enveloped
from tests.support.greedy import unread
from tests.support.processes import Meter, family

MIB = 1 << 20
DOWNLOAD = "/conexiones.v1.ImageService/DownloadImage"
LIST = "/conexiones.v1.ImageService/ListImages"
WATCH = "/conexiones.v1.ImageService/WatchImages"

HOLD_SECONDS = 3.0
"""How long a shape goes on once all of it is there."""

BACK_SECONDS = 5.0
"""After so long, what it took is given back."""


@dataclass(slots=True)
class Target:
    """A server, and the ids of what is stored on it."""

    server: Server
    large: str = ""
    small: str = ""
    options: list[tuple[str, int]] = field(
        default_factory=lambda: [
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
            ("grpc.use_local_subchannel_pool", 1),
        ]
    )

    def channel(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(self.server.address, options=self.options)

    async def fill(self, *, images: int = 1000) -> None:
        """Stores an image of 32 MiB, and many small ones."""

        async def fragments() -> AsyncIterator[GetImage]:
            for piece in bitmap(3344, 3344):
                yield GetImage(image=piece)

        async with self.channel() as channel:
            stub = UsuarioServicioStub(channel)
            self.large = (await stub.GetStreamImage(fragments())).image_info.id
            for number in range(images):
                small = b"".join(bitmap(8 + number % 200, 8, seed=number))
                self.small = (await stub.ProcessImage(GetUserRequest(image=small))).image_info.id


Shape = Callable[[Target], Awaitable[None]]


def _unread(path: str, body: Callable[[Target], bytes], *, window: int = 65535, **how: str) -> Shape:
    """900 calls on 9 connections whose replies are never read."""

    async def shape(target: Target) -> None:
        async with unread(target.server.address, 9, window=window) as connections:
            for connection in connections:
                for _ in range(100):
                    await connection.call(path.format(large=target.large), body(target), **how)
            await asyncio.sleep(HOLD_SECONDS)

    return shape


def _download(target: Target) -> bytes:
    return enveloped([DownloadImageRequest(id=target.large).SerializeToString()])


def _small_download(target: Target) -> bytes:
    return enveloped([DownloadImageRequest(id=target.small).SerializeToString()])


def _page(target: Target) -> bytes:
    return enveloped([ListImagesRequest(page_size=1000).SerializeToString()])


def _http1_downloads(count: int, *, rate: int = 0) -> Shape:
    """Downloads over HTTP/1.1, read at `rate` bytes a second."""

    async def shape(target: Target) -> None:
        host, _, port = target.server.address.rpartition(":")
        pairs = []
        for _ in range(count):
            reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
            writer.write(f"GET /images/{target.large} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
            pairs.append((reader, writer))
        end = time.monotonic() + HOLD_SECONDS
        while time.monotonic() < end:
            if rate:
                await asyncio.gather(*(reader.read(rate) for reader, _ in pairs))
            await asyncio.sleep(1)
        for _, writer in pairs:
            writer.close()

    return shape


def _messages(count: int, side: int = 4600) -> Shape:
    """So many messages of that many pixels a side at a time; 4600 are 63 MB."""

    async def shape(target: Target) -> None:
        image = b"".join(bitmap(side, side))

        async def one() -> None:
            async with target.channel() as channel:
                try:
                    await UsuarioServicioStub(channel).ProcessImage(GetUserRequest(image=image), timeout=60)
                except grpc.aio.AioRpcError as error:  # too large near the floor, or busy
                    if error.code() not in _REFUSED:
                        raise

        waiting = [one() for _ in range(count)]
        for begin in range(0, count, 12):  # so that the client does not run out of memory
            await asyncio.gather(*waiting[begin : begin + 12])

    return shape


_REFUSED = {
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INVALID_ARGUMENT,
}


def _uploads(count: int, size: int) -> Shape:
    """So many uploads of that many bytes at once, which then stay open."""

    async def shape(target: Target) -> None:
        piece = b"".join(bitmap(560, 560))[:65536]
        rest = bytes(65536)
        async with AsyncExitStack() as stack:
            # So no call waits for room on its connection: grpcio does not begin it when another is cancelled.
            connections = math.ceil(count / LEAST_STREAMS)
            channels = [await stack.enter_async_context(target.channel()) for _ in range(connections)]

            async def one(channel: grpc.aio.Channel) -> None:
                call = UsuarioServicioStub(channel).GetStreamImage(timeout=60)
                try:
                    await call.write(GetImage(image=piece))
                    for _ in range(size // len(rest)):
                        await call.write(GetImage(image=rest))
                    await asyncio.sleep(HOLD_SECONDS)
                except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    pass
                call.cancel()

            async with asyncio.timeout(60):
                await asyncio.gather(*(one(channels[number % len(channels)]) for number in range(count)))

    return shape


def _refused(count: int) -> Shape:
    """Refused images of 20 MiB, of which gzip makes 20 kB, in one stream."""

    async def shape(target: Target) -> None:
        message = GetUserRequest(name="Ana", image=bytes(20 * MIB)).SerializeToString()
        body = enveloped([gzip.compress(message)], flags=1) * count
        host, _, port = target.server.address.rpartition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        head = (
            "POST /user.UsuarioServicio/GetUserBidiStream HTTP/1.1\r\nhost: localhost\r\n"
            "content-type: application/connect+proto\r\nconnect-content-encoding: gzip\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        async with asyncio.timeout(60):
            await writer.drain()
        await asyncio.sleep(HOLD_SECONDS)
        writer.close()

    return shape


def _json(text: str, count: int = 4) -> Shape:
    """JSON messages of 16 MiB of one name, which is refused."""

    async def shape(target: Target) -> None:
        body = json.dumps({"name": text * (16 * MIB // len(text.encode()))}, ensure_ascii=False).encode()
        host, _, port = target.server.address.rpartition(":")

        async def one() -> None:
            reader, writer = await asyncio.open_connection(host, int(port))
            head = f"POST {GET_USER} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            async with asyncio.timeout(60):
                await reader.readline()
            writer.close()

        await asyncio.gather(*(one() for _ in range(count)))

    return shape


async def _renditions(target: Target) -> None:
    """60 different renditions of one large image at once."""
    host, _, port = target.server.address.rpartition(":")

    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        query = f"width={500 + number}&format=avif"
        head = f"GET /images/{target.large}?{query} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        writer.write(head.encode())
        try:
            async with asyncio.timeout(2 * HOLD_SECONDS):
                await reader.readline()
        except TimeoutError:
            pass
        writer.close()

    await asyncio.gather(*(one(number) for number in range(60)))


SHAPES: dict[str, Shape] = {
    "900 downloads that are never read": _unread(DOWNLOAD, _download),
    "the same, with windows of 0": _unread(DOWNLOAD, _download, window=0),
    "900 downloads over /images/ that are never read": _unread(
        "/images/{large}", lambda _: b"", window=0, method="GET"
    ),
    "900 downloads of small images that are never read": _unread(DOWNLOAD, _small_download, window=0),
    "900 pages of 1,000 images that are never read": _unread(LIST, _page, window=0),
    "900 streams of events": _unread(WATCH, lambda _: enveloped([b""])),
    "the page's files 900 times, never read": _unread("/", lambda _: b"", window=0, method="GET"),
    "500 downloads over HTTP/1.1 that are never read": _http1_downloads(500),
    "500 downloads over HTTP/1.1, a byte a second": _http1_downloads(500, rate=1),
    "64 uploads of 8 MiB at once": _uploads(64, 8 * MIB),
    "64 uploads of 16 MiB at once": _uploads(64, 16 * MIB),
    "1,000 uploads of 512 KiB at once": _uploads(1000, MIB // 2),
    "12 messages of 63 MB at once": _messages(12),
    "60 messages of 12 MB": _messages(60, 2000),
    "20 refused images of 20 MiB, compressed": _refused(20),
    "4 messages of 16 MiB of JSON, of emoji": _json("😀"),
    "60 renditions at once": _renditions,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a shape took: bytes at most, bytes that are left after a while, and the seconds of GetUser."""

    peak: int
    after: int
    calls: list[float]

    @property
    def p95(self) -> float:
        return statistics.quantiles(self.calls, n=20)[-1] if len(self.calls) > 1 else 0.0


async def measure(target: Target, shape: Shape) -> Taken:
    """Sends a shape to the server, and measures it."""
    pid = target.server.pid
    with Meter(pid) as meter:
        async with _another(target) as calls:
            await shape(target)
        await asyncio.sleep(BACK_SECONDS)
        after = pss(pid)
    return Taken(peak=meter.peak, after=after, calls=calls)


def pss(pid: int) -> int:
    """The bytes that a server's processes take now."""
    total = 0
    for process in family(pid):
        with suppress(psutil.Error):  # it has just ended
            total += process.memory_full_info().pss
    return total


@asynccontextmanager
async def _another(target: Target) -> AsyncIterator[list[float]]:
    """Another client, which calls GetUser all the while; gives the seconds of each call."""
    seconds: list[float] = []

    async def ask() -> None:
        async with target.channel() as channel:
            stub = UsuarioServicioStub(channel)
            while True:
                begin = time.monotonic()
                try:
                    await stub.GetUser(GetUserRequest(name="Ana"), timeout=30)
                except grpc.aio.AioRpcError:
                    seconds.append(30.0)
                seconds.append(time.monotonic() - begin)
                await asyncio.sleep(0.02)

    asking = asyncio.create_task(ask())
    try:
        yield seconds
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


async def _table(memory: str, only: str) -> None:
    print(f"| shape, with `--memory {memory}` | at most, MiB | after {BACK_SECONDS:g} s | GetUser, p95 ms |")
    print("| --- | --- | --- | --- |")
    with serve(memory=memory) as server:
        target = Target(server)
        await target.fill(images=1000 if not only else 20)
        for name, shape in SHAPES.items():
            if only in name:
                try:
                    taken = await measure(target, shape)
                except Exception as error:
                    print(f"| {name} | {error!r:.80} | | |", flush=True)
                    continue
                figures = f"{taken.peak / MIB:.0f} | {taken.after / MIB:.0f} | {taken.p95 * 1000:.0f}"
                print(f"| {name} | {figures} |", flush=True)
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.server.shapes", description=__doc__)
    parser.add_argument("memory", nargs="*", default=["512MiB", "2GiB"])
    parser.add_argument("--only", default="", help="shapes whose names have this in them")
    options = parser.parse_args()
    for memory in options.memory:
        asyncio.run(_table(memory, options.only))


if __name__ == "__main__":
    main()
