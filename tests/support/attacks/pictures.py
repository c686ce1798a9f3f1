"""Images and renditions that cost the server much more than they cost their client."""

import asyncio
import itertools
import struct

from conexiones.gen.conexiones.v1.images_pb2 import DownloadImageRequest, Rendition
from conexiones.gen.user_pb2 import GetImage, GetUserRequest
from tests.support.attacks import http1
from tests.support.attacks.link import Link, message, on_link
from tests.support.attacks.messages import (
    BIDI,
    GET_STREAM_IMAGE,
    IMAGE_STREAM_REPLY,
    PROCESS_IMAGE,
)
from tests.support.attacks.target import Connection, Tally, Target, again, many

DOWNLOAD = "/conexiones.v1.ImageService/DownloadImage"

# Renditions


async def renditions(target: Target, tally: Tally, *, count: int = 200, query: str = "format=avif") -> None:
    """Renditions of a large image, all at once, each in another width over a connection of its own."""
    widths = itertools.count()

    async def once() -> None:
        async with await Connection.open(target) as connection:
            while True:
                await http1.ask(connection, tally, _get(target.images["large"], query, 2000 + next(widths)))

    await many(count, lambda _: again(tally, once))


async def renditions_dropped(target: Target, tally: Tally, *, count: int = 12, seconds: float = 0.2) -> None:
    """Renditions of a large image that are asked for and closed at once, twelve every fifth of a second."""
    widths = itertools.count()

    async def once() -> None:
        async with await Connection.open(target) as connection:
            tally["calls"] += 1
            await connection.send(_get(target.images["large"], "format=avif", 2000 + next(widths)))
        await asyncio.sleep(seconds)

    await many(count, lambda _: again(tally, once))


async def renditions_grpc(target: Target, tally: Tally, *, streams: int = 200) -> None:
    """The same as `renditions` by DownloadImage, on one connection."""
    widths = itertools.count()

    async def one(link: Link, _: int) -> None:
        while True:
            request = DownloadImageRequest(id=target.images["large"])
            request.rendition.width = 2000 + next(widths) % 6000
            request.rendition.format = Rendition.FORMAT_AVIF
            await link.call(DOWNLOAD, message(request.SerializeToString()))

    await on_link(target, tally, streams, one)


async def renditions_cheap(target: Target, tally: Tally, *, connections: int = 32) -> None:
    """Small renditions of a small image, each in another size, as fast as they go."""
    sizes = itertools.count()

    async def once() -> None:
        async with await Connection.open(target) as connection:
            while True:
                number = next(sizes)
                query = f"fit=contain&format=webp&height={number // 8000 % 8000 + 1}"
                await http1.ask(
                    connection, tally, _get(target.images["small"], query, number % 8000 % 400 + 1)
                )

    await many(connections, lambda _: again(tally, once))


def _get(id: str, query: str, width: int) -> bytes:
    return http1.request(f"/images/{id}?{query}&width={width % 8192}", {}, verb="GET")


# Images


def numbered(image: bytes, number: int) -> bytes:
    """A JPEG with a comment, so that it is another image."""
    return image[:2] + b"\xff\xfe" + struct.pack(">HQ", 10, number) + image[2:]


def scans(image: bytes, count: int = 45_000) -> bytes:
    """A JPEG whose scan is repeated, with little in it."""
    begin = image.index(b"\xff\xda")
    scan = image[begin : begin + 2 + int.from_bytes(image[begin + 2 : begin + 4])] + b"\0\1\2"
    return image[:begin] + scan * count + b"\xff\xd9"


def pieces(image: bytes, count: int = 200_000) -> bytes:
    """A PNG with as many empty chunks of data."""
    at = image.index(b"IDAT") - 4
    return image[:at] + b"\0\0\0\0IDAT\x35\xaf\x06\x1e" * count + image[at:]


def frames(image: bytes, count: int = 100_000) -> bytes:
    """A GIF with as many frames of one pixel."""
    at = image.index(b"\x2c", 13)
    return image[:at] + b"\x2c\0\0\0\0\1\0\1\0\0\2\2\x44\1\0" * count + image[at:]


async def structures(
    target: Target,
    tally: Tally,
    *,
    image: bytes,
    streams: int = 8,
    fragment: int = 0,
    path: str = PROCESS_IMAGE,
) -> None:
    """Images whose structure is long, several at a time; with `fragment`, by GetStreamImage in pieces of that
    many bytes."""

    async def one(link: Link, _: int) -> None:
        kind = GetImage if path == IMAGE_STREAM_REPLY else GetUserRequest
        whole = message(kind(image=image).SerializeToString())
        cut = b"".join(
            message(GetImage(image=image[at : at + fragment]).SerializeToString())
            for at in range(0, len(image) if fragment else 0, fragment or 1)
        )
        while True:
            await link.call(GET_STREAM_IMAGE if fragment else path, cut or whole)

    await on_link(target, tally, streams, one)


async def decoded(target: Target, tally: Tally, *, image: bytes, streams: int = 16) -> None:
    """ProcessImage, which waits for the decoding, with large images, each another one."""
    numbers = itertools.count()

    async def one(link: Link, _: int) -> None:
        while True:
            request = GetUserRequest(image=numbered(image, next(numbers)))
            await link.call(PROCESS_IMAGE, message(request.SerializeToString()))

    await on_link(target, tally, streams, one)


async def previews(target: Target, tally: Tally, *, image: bytes, streams: int = 16) -> None:
    """Users with large images, each another one, so that each reply of GetUserBidiStream needs a preview."""
    numbers = itertools.count()

    async def one(link: Link, number: int) -> None:
        stream = await link.begin(BIDI)
        while not stream.ended.done():
            request = GetUserRequest(name=f"Eva {number}", image=numbered(image, next(numbers)))
            await stream.send(message(request.SerializeToString()))
        raise ConnectionResetError

    await on_link(target, tally, streams, one)
