"""Small images by calls that remember their requests."""

import itertools
from uuid import uuid4

from conexiones.gen.conexiones.v1.uploads_pb2 import UploadImageRequest, UploadImagesRequest
from tests.support.attacks.link import Link, message, on_link
from tests.support.attacks.pictures import numbered
from tests.support.attacks.target import Tally, Target

UPLOAD_IMAGE = "/conexiones.v1.UploadService/UploadImage"
UPLOAD_IMAGES = "/conexiones.v1.UploadService/UploadImages"


async def stored(target: Target, tally: Tally, *, image: bytes, streams: int = 16) -> None:
    """UploadImages with an image after the other, each a new one with an id of its own, which wait for no
    answer."""
    numbers = itertools.count()

    async def one(link: Link, _: int) -> None:
        stream = await link.begin(UPLOAD_IMAGES)
        while not stream.ended.done():
            request = UploadImagesRequest(request_id=str(uuid4()), image=numbered(image, next(numbers)))
            await stream.send(message(request.SerializeToString()))
            tally["messages"] += 1
        raise ConnectionResetError

    await on_link(target, tally, streams, one)


async def reused(target: Target, tally: Tally, *, image: bytes, streams: int = 16) -> None:
    """UploadImage with one id for ever new images: their bytes are written, and not kept."""
    numbers, name = itertools.count(), str(uuid4())

    async def one(link: Link, _: int) -> None:
        while True:
            request = UploadImageRequest(request_id=name, image=numbered(image, next(numbers)))
            await link.call(UPLOAD_IMAGE, message(request.SerializeToString()))

    await on_link(target, tally, streams, one)
