"""The rules of images: what is let in, how it is judged on its way, and when it counts as stored."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from conexiones.domain.formats import PEEK_BYTES, Facts, peek, probe, sniff
from conexiones.domain.ids import Ids, now
from conexiones.errors import EmptyImage, EmptyStream, ImageTooLarge, NoPreview, TooManyPixels
from conexiones.ports import Blobs, Catalog, Decoder, ImageRecord, Staged

PREVIEW_SIDE = 256
"""Pixels: a preview fits into a square of this side."""

_FIELD = "image"

_SNIFF_BYTES = 64
"""With so many bytes of a stream, what is no image is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bytes of one image; width × height × frames of one image; width × height of what is decoded."""

    max_image_bytes: int
    max_pixels: int
    decode_pixels: int


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
        async with self.admit(data, user=user) as image:
            await self._catalog.add_image(image)
        return image

    async def receive(self, fragments: AsyncIterator[bytes]) -> ImageRecord:
        """Stores one image that comes in fragments, each of any size, when the last has come.

        Raises an ImageError as soon as the bytes so far show that the image cannot be stored. If the
        iterator raises, or the caller is cancelled, nothing is left.
        """
        staged = self._blobs.stage()
        try:
            facts = await self._judge(staged, fragments)
            image = await self._publish(staged, facts, user=None)
            await self._catalog.add_image(image)
            await staged.settle()
        finally:
            await staged.discard()
        return image

    @asynccontextmanager
    async def admit(self, data: bytes, *, user: str | None) -> AsyncIterator[ImageRecord]:
        """Makes one whole image's bytes durable; the body must add the record to the catalog.

        If the body raises, the bytes are given up.
        """
        if not data:
            raise EmptyImage(field=_FIELD)
        self._check_size(len(data))
        sniff(data[:_SNIFF_BYTES])
        staged = self._blobs.stage()
        try:
            if len(data) <= PEEK_BYTES:
                # Nothing bad touches the disk.
                facts = self._checked(probe(data))
                await staged.write(data)
            else:
                self._check_head(data[:PEEK_BYTES])
                await staged.write(data)
                facts = self._checked(await staged.inspect(probe))
            yield await self._publish(staged, facts, user=user)
            await staged.settle()
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

    async def _judge(self, staged: Staged, fragments: AsyncIterator[bytes]) -> Facts:
        """Takes the stream in, judging it as early as its bytes allow."""
        head: bytearray | None = bytearray()  # until it has shown the facts, or is long enough to
        enough = _SNIFF_BYTES  # bytes of head at which to look next
        async for fragment in fragments:
            if head is not None:
                head += fragment[: PEEK_BYTES - len(head)]
                if len(head) >= enough:
                    sniff(bytes(head[:_SNIFF_BYTES]))
                    known = self._check_head(bytes(head))
                    enough = min(len(head) * 4, PEEK_BYTES)
                    head = None if known or len(head) == PEEK_BYTES else head
            self._check_size(staged.size + len(fragment))
            await staged.write(fragment)
            del fragment  # the next may be long in coming
        if not staged.size:
            raise EmptyStream(field=_FIELD)
        return self._checked(await staged.inspect(probe))

    async def _publish(self, staged: Staged, facts: Facts, *, user: str | None) -> ImageRecord:
        digest = await staged.publish()
        return ImageRecord(
            id=self._ids.new(),
            digest=digest,
            size=staged.size,
            format=facts.format,
            width=facts.width,
            height=facts.height,
            frames=facts.frames,
            user=user,
            create_time=now(),
        )

    def _check_size(self, size: int) -> None:
        limit = self._limits.max_image_bytes
        if size > limit:
            raise ImageTooLarge(field=_FIELD, limit=limit, actual=size, unit="bytes")

    def _check_head(self, head: bytes) -> bool:
        """Whether the head shows the facts, and they are within the limits."""
        facts = peek(head)
        return facts is not None and bool(self._checked(facts))

    def _checked(self, facts: Facts) -> Facts:
        pixels = facts.width * facts.height * facts.frames
        limit = self._limits.max_pixels
        if pixels > limit:
            raise TooManyPixels(field=_FIELD, format=facts.format, limit=limit, actual=pixels, unit="pixels")
        return facts
