"""Replies that nobody reads, ranges, and questions that take long to answer."""

import asyncio
import itertools
import json
import socket
from functools import partial

from conexiones.gen.conexiones.v1.images_pb2 import DownloadImageRequest, ListImagesRequest
from tests.support.attacks import http1
from tests.support.attacks.link import LARGEST_WINDOW, Link, message, on_link
from tests.support.attacks.messages import JSON
from tests.support.attacks.pictures import DOWNLOAD
from tests.support.attacks.target import BACK_OFF, Connection, Tally, Target, again, many

LIST = "/conexiones.v1.ImageService/ListImages"
STATUS = "/conexiones.v1.StatusService/GetStatus"


async def unread(
    target: Target,
    tally: Tally,
    *,
    streams: int = 100,
    connections: int = 9,
    window: int = LARGEST_WINDOW,
    reads: bool = False,
) -> None:
    """Downloads of a large image. With `reads` false nothing is read from the socket; with a window of 0 the
    connection is read, and the streams may send nothing."""
    sent = message(DownloadImageRequest(id=target.images["huge"]).SerializeToString())

    async def one(link: Link, _: int) -> None:
        while True:
            stream = await link.begin(DOWNLOAD)
            await stream.send(sent, end=True)
            await stream.ended
            await asyncio.sleep(BACK_OFF)

    await many(connections, lambda _: on_link(target, tally, streams, one, reads=reads, window=window))


async def unread_http1(target: Target, tally: Tally, *, connections: int = 300) -> None:
    """The same over HTTP/1.1."""
    sent = http1.request(f"/images/{target.images['huge']}", {}, verb="GET")

    async def once() -> None:
        async with await Connection.open(target) as connection:
            connection.pause()
            tally["calls"] += 1
            await connection.send(sent)
            await connection.gone()
        raise ConnectionResetError

    await many(connections, lambda _: again(tally, once))


async def read_slowly(
    target: Target, tally: Tally, *, connections: int = 300, size: int = 1, seconds: float = 1.0
) -> None:
    """The same, but `size` bytes are read every so many seconds, through the smallest window that TCP has."""
    sent = http1.request(f"/images/{target.images['huge']}", {}, verb="GET")
    loop = asyncio.get_running_loop()

    async def once() -> None:
        with socket.socket() as connection:
            connection.setblocking(False)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            connection.bind((target.source, 0))
            await loop.sock_connect(connection, (target.host, target.port))
            tally["calls"] += 1
            await loop.sock_sendall(connection, sent)
            while await loop.sock_recv(connection, size):
                tally["bytes"] += size
                await asyncio.sleep(seconds)
        raise ConnectionResetError

    await many(connections, lambda _: again(tally, once))


async def ranges(target: Target, tally: Tally, *, connections: int = 8, count: int = 1) -> None:
    """Ranges of one byte from all over a large image, as fast as they are answered; with a larger `count`, so
    many of them in one header."""
    places = itertools.count()

    async def once() -> None:
        async with await Connection.open(target) as connection:
            while True:
                at = [next(places) * 65_537 % 90_000_000 for _ in range(count)]
                header = "bytes=" + ",".join(f"{one}-{one}" for one in at)
                get = http1.request(f"/images/{target.images['huge']}", {"range": header}, verb="GET")
                await http1.ask(connection, tally, get)

    await many(connections, lambda _: again(tally, once))


async def lists(target: Target, tally: Tally, *, streams: int = 250) -> None:
    """Pages of ListImages, as long as they may be."""
    sent = message(ListImagesRequest(page_size=1000).SerializeToString())
    await on_link(target, tally, streams, partial(_repeated, LIST, sent))


async def lists_json(target: Target, tally: Tally, *, connections: int = 64) -> None:
    """The same as JSON, each over a connection of its own."""
    await _asked(
        target, tally, http1.request(LIST, JSON, json.dumps({"pageSize": 1000}).encode()), connections
    )


async def status(target: Target, tally: Tally, *, streams: int = 100) -> None:
    """GetStatus, as fast as it is answered."""
    await on_link(target, tally, streams, partial(_repeated, STATUS, message(b"")))


async def _repeated(path: str, sent: bytes, link: Link, _: int) -> None:
    while True:
        await link.call(path, sent)


async def page(target: Target, tally: Tally, *, connections: int = 16) -> None:
    """The page, as fast as it comes."""
    await _asked(target, tally, http1.request("/", {}, verb="GET"), connections)


async def _asked(target: Target, tally: Tally, sent: bytes, connections: int) -> None:
    async def once() -> None:
        async with await Connection.open(target) as connection:
            while True:
                await http1.ask(connection, tally, sent)

    await many(connections, lambda _: again(tally, once))


async def downloads(target: Target, tally: Tally, *, connections: int = 8) -> None:
    """Downloads of a large image at full speed: honest use."""
    await _asked(
        target, tally, http1.request(f"/images/{target.images['huge']}", {}, verb="GET"), connections
    )
