"""Small images: each is sent with a single call (UploadImage), and is sent again with the same request_id if
the answer is lost, so that it is not stored twice."""

import hashlib
from dataclasses import dataclass
from typing import TypeVar

from conexiones import errors
from conexiones.errors import ConexionesError
from conexiones.gen.conexiones.v1.uploads_pb2 import UploadImageRequest, UploadImagesRequest
from conexiones.sdk import results
from conexiones.sdk.connection import Connection
from conexiones.sdk.failures import Stalled
from conexiones.sdk.requests import made
from conexiones.sdk.results import Image
from conexiones.sdk.sources import Source

MOST_BYTES = 8 << 20
"""No larger image is sent with a single call, whatever the server takes: all of it is in memory."""


T = TypeVar("T", UploadImageRequest, UploadImagesRequest)


class NotSmall(Exception):
    """The server does not take the image with a single call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """An image with all its bytes. `sha256` is that of `data`, or what the caller said that it is."""

    data: bytes
    crc32c: int
    sha256: bytes
    request_id: str
    user: str
    name: str

    def checked(self, image: Image) -> Image:
        """Raises ChecksumMismatch if that is not an image of these bytes."""
        if image.sha256 != self.sha256 or image.size_bytes != len(self.data):
            raise errors.ChecksumMismatch(
                algorithm="SHA-256", expected=self.sha256.hex(), actual=image.sha256.hex()
            )
        return image

    def damaged(self, error: errors.ChecksumMismatch) -> bool:
        """Whether the bytes were damaged on their way, rather than are others than the caller says."""
        return error.facts.get("algorithm") != "SHA-256" or hashlib.sha256(self.data).digest() == self.sha256

    def request(self, kind: type[T]) -> T:
        """The message for UploadImage or UploadImages, which have the same fields. Raises InvalidField."""
        return made(
            kind,
            request_id=self.request_id,
            image=self.data,
            user=self.user,
            name=self.name,
            sha256=self.sha256,
            crc32c=self.crc32c,
        )


def learn(connection: Connection, max_small_bytes: int) -> None:
    """Remembers the largest image that the server takes with a single call."""
    connection.small_bytes = min(max_small_bytes, MOST_BYTES)


def learn_from(connection: Connection, error: ConexionesError, size: int) -> bool:
    """Whether the error says that the server does not take an image of this size with a single call, which
    the connection then remembers."""
    if isinstance(error, errors.Unimplemented):
        learn(connection, 0)
    elif isinstance(error, errors.MessageTooLarge | errors.ImageNotSmall):
        learn(connection, min(connection.small_bytes, size - 1))
    else:
        return False
    return True


async def whole(
    source: Source, *, size: int, sha256: bytes | None, request_id: str, user: str, name: str
) -> Whole:
    """Reads all of the source. Raises SourceChanged, and what reading it raises."""
    chunk = await source.chunk(0, size)
    return Whole(
        data=chunk.data,
        crc32c=chunk.crc32c,
        sha256=sha256 or await source.digest(),
        request_id=request_id,
        user=user,
        name=name,
    )


async def send(connection: Connection, one: Whole) -> Image:
    """Raises the error that refuses the image, NoProgress, and NotSmall."""
    request = one.request(UploadImageRequest)
    backoff = connection.backoff()
    while True:
        sent = await connection.sending()
        try:
            try:
                reply = await connection.once(lambda link: link.uploads.UploadImage, request)
            except errors.DeadlineExceeded:
                why = f"nothing came for {connection.options.timeout:g} seconds"
                raise Stalled(why=why) from None
            break
        except ConexionesError as error:
            if learn_from(connection, error, len(one.data)):
                raise NotSmall from error
            if isinstance(error, errors.ChecksumMismatch) and not one.damaged(error):
                raise
            if not await connection.worth_another(error, sent):
                raise
            await backoff.pause(error, reached=connection.reached)
    return one.checked(results.image(reply.image))
