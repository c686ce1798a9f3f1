"""The rules of images: what is let in, how it is judged on its way, and when it counts as stored."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from conexiones.domain.formats import HEAD_BYTES, MARKUP_BYTES, PEEK_BYTES, Facts, peek, probe
from conexiones.domain.ids import Ids, now
from conexiones.errors import (
    EmptyImage,
    EmptyStream,
    ImageError,
    ImageTooLarge,
    NoPreview,
    TooManyPixels,
)
from conexiones.ports.blobs import Blobs
from conexiones.ports.catalog import Catalog
from conexiones.ports.decoder import Decoder
from conexiones.ports.records import ImageRecord
from conexiones.ports.staging import Staged

PREVIEW_SIDE = 256
"""Pixels: a preview fits into a square of this side."""

_FIELD = "image"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bytes of one image; width × height × frames of one image; width × height of what is decoded, and the
    time that takes."""

    max_image_bytes: int
    max_pixels: int
    decode_pixels: int
    decode_seconds: float


class Images:
    """Stores and shows images. An image that a method returned, or yielded and let pass, is durable."""

    def __init__(self, catalog: Catalog, blobs: Blobs, decoder: Decoder, limits: Limits) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._decoder = decoder
        self._limits = limits
        self._ids = Ids()

    async def add(self, data: bytes, *, user: str | None = None) -> ImageRecord:
        """Stores one whole image. Raises an ImageError if it is none, or over the limits."""
        image, _ = await self.admit(data, user=user, add=self._catalog.add_image)
        return image

    async def admit(
        self, data: bytes, *, user: str | None, add: Callable[[ImageRecord], Awaitable[T]]
    ) -> tuple[ImageRecord, T]:
        """Makes one whole image's bytes durable, and awaits `add`, which adds the record to the catalog.

        If `add` raises, the bytes are given up. Raises an ImageError.
        """
        staged = self._blobs.stage()
        try:
            if not data:
                raise EmptyImage
            self.check_size(len(data))
            await staged.write(data)
            return await self._publish(staged, user, add)
        except ImageError as error:
            error.field = _FIELD
            raise
        finally:
            await staged.discard()

    async def receive(self, fragments: AsyncIterator[bytes | memoryview]) -> ImageRecord:
        """Stores one image that comes in fragments, each of any size, when the last has come.

        Raises an ImageError as soon as the bytes so far show that the image cannot be stored. If the
        iterator raises, or the caller is cancelled, nothing is left.
        """
        staged = self._blobs.stage()
        try:
            await self._take_in(staged, fragments)
            if not staged.size:
                raise EmptyStream
            image, _ = await self._publish(staged, None, self._catalog.add_image)
            return image
        except ImageError as error:
            error.field = _FIELD
            raise
        finally:
            await staged.discard()

    async def preview(self, image: ImageRecord) -> bytes:
        """A JPEG of at most PREVIEW_SIDE pixels a side. Raises NoPreview."""
        limit = self._limits.decode_pixels
        if image.width * image.height > limit:
            raise NoPreview(
                format=image.format,
                cause="PIXELS",
                limit=limit,
                actual=image.width * image.height,
                unit="pixels",
            )
        async with self._blobs.local(image.digest) as path:
            return await self._decoder.preview(path, format=image.format, side=PREVIEW_SIDE)

    async def _publish(
        self, staged: Staged, user: str | None, add: Callable[[ImageRecord], Awaitable[T]]
    ) -> tuple[ImageRecord, T]:
        facts = await self.judge(staged)

        async def add_record(digest: bytes) -> tuple[ImageRecord, T]:
            image = self.record(digest, staged.size, facts, user=user)
            return image, await add(image)

        added = await staged.publish_to(add_record)
        await staged.settle()
        return added

    async def _take_in(self, staged: Staged, fragments: AsyncIterator[bytes | memoryview]) -> None:
        """Stages the fragments, judging the head as early as it shows something."""
        head = Head(self)
        async for fragment in fragments:
            self.check_size(staged.size + len(fragment))
            head.see(fragment)
            await staged.write(fragment)
            del fragment  # the next may be long in coming

    async def judge(self, staged: Staged) -> Facts:
        """The facts of all that was staged. Raises an ImageError."""
        return self.checked(await staged.inspect(probe))

    def record(self, digest: bytes, size: int, facts: Facts, *, user: str | None) -> ImageRecord:
        """A new image of published bytes, for the catalog."""
        return ImageRecord(
            id=self._ids.new(),
            digest=digest,
            size=size,
            format=facts.format,
            width=facts.width,
            height=facts.height,
            frames=facts.frames,
            user=user,
            create_time=now(),
        )

    def check_size(self, size: int) -> None:
        """Raises ImageTooLarge."""
        limit = self._limits.max_image_bytes
        if size > limit:
            raise ImageTooLarge(limit=limit, actual=size, unit="bytes")

    def checked(self, facts: Facts) -> Facts:
        """The facts, if within the limits. Raises TooManyPixels."""
        pixels = facts.width * facts.height * facts.frames
        limit = self._limits.max_pixels
        if pixels > limit:
            raise TooManyPixels(format=facts.format, limit=limit, actual=pixels, unit="pixels")
        return facts


class Head:
    """The first bytes of a stream, until they have shown the facts or are as long as they may be."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._head: bytearray | None = bytearray()
        self._enough = HEAD_BYTES  # bytes at which to look next

    def see(self, data: bytes | memoryview) -> None:
        """The next bytes of the stream. Raises an ImageError if they show that it cannot be stored."""
        head = self._head
        if head is None:
            return
        head += data[: PEEK_BYTES - len(head)]
        if len(head) < self._enough or _may_be_markup(head):
            return
        facts = peek(bytes(head))
        if facts:
            self._images.checked(facts)
        if facts or len(head) == PEEK_BYTES:
            self._head = None
        self._enough = min(len(head) * 4, PEEK_BYTES)


def _may_be_markup(head: bytearray) -> bool:
    """Whether it takes more bytes to tell an SVG, which has a name of its own, from any other text."""
    return len(head) < MARKUP_BYTES and head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<"
