"""Honest use, as much of it as one client can make: fair shares are for this, too."""

import itertools

from conexiones.gen.user_pb2 import GetImage, GetUserRequest
from tests.support.attacks.link import Link, message, on_link
from tests.support.attacks.messages import GET_STREAM_IMAGE, GET_USER, IMAGE_STREAM_REPLY
from tests.support.attacks.pictures import numbered
from tests.support.attacks.target import Tally, Target, many
from tests.support.bitmaps import bitmap


async def users(target: Target, tally: Tally, *, connections: int = 10, streams: int = 10) -> None:
    """GetUser, as fast as it is answered."""
    sent = message(GetUserRequest(name="Ana").SerializeToString())

    async def one(link: Link, _: int) -> None:
        while True:
            await link.call(GET_USER, sent)

    await many(connections, lambda _: on_link(target, tally, streams, one))


async def small_images(target: Target, tally: Tally, *, image: bytes, streams: int = 64) -> None:
    """Small images, each another one, in streams of ImageStreamReply."""
    numbers = itertools.count()

    async def one(link: Link, _: int) -> None:
        stream = await link.begin(IMAGE_STREAM_REPLY)
        while not stream.ended.done():
            sent = (GetImage(image=numbered(image, next(numbers))) for _ in range(16))
            await stream.send(b"".join(message(each.SerializeToString()) for each in sent))
            tally["images"] += 16
        raise ConnectionResetError

    await on_link(target, tally, streams, one)


async def large_images(target: Target, tally: Tally, *, connections: int = 4, side: int = 9000) -> None:
    """Images of 243 MB in fragments of 1 MiB, one after the other on each connection."""
    seeds = itertools.count(int(target.port))

    async def one(link: Link, _: int) -> None:
        while True:
            stream = await link.begin(GET_STREAM_IMAGE)
            for piece in bitmap(side, side, seed=next(seeds)):
                await stream.send(message(GetImage(image=piece).SerializeToString()))
            await stream.send(b"", end=True)
            await stream.ended

    await many(connections, lambda _: on_link(target, tally, 1, one))
