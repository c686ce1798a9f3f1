"""The rules of images: which are accepted, how they are judged on their way, and when they are stored."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Literal, TypeVar

from conexiones.domain.decoding import is_large, local_file
from conexiones.domain.formats import HEAD_BYTES, MARKUP_BYTES, PEEK_BYTES, ImageHeader, glance, peek, probe
from conexiones.domain.ids import Ids, now
from conexiones.domain.names import UserName
from conexiones.domain.quotas import Room, room_of
from conexiones.errors import (
    BlobCorrupt,
    EmptyImage,
    EmptyStream,
    ImageError,
    ImageNotFound,
    ImageTooLarge,
    NoPreview,
    TooManyPixels,
)
from conexiones.metrics import Metrics
from conexiones.ports.blobs import Blobs
from conexiones.ports.catalog import Catalog
from conexiones.ports.decoder import Decoder
from conexiones.ports.records import Charge, ImageRecord
from conexiones.ports.staging import Staged, Staging
from conexiones.principals import Principal
from conexiones.shares import SERVER, Caller, Turns
from conexiones.tracing import span
from conexiones.waits import observe_places

PREVIEW_SIDE = 256
"""A preview fits into a square of this side, in pixels."""

_LARGE = 1 << 20
"""Bytes from which on reading the structure of an image may take long: seconds, if it was made for that."""

_JUDGED, _JUDGED_EACH = 6, 3
"""Images of so many bytes that are judged at a time, of all clients and of each. Smaller ones do not wait."""

_SHORT = 128 << 10
"""Up to so many bytes are judged as a whole before anything is written."""

_FIELD = "image"

_QUOTA_BOUNDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)

Way = Literal["whole", "fragments", "user", "small", "upload"]
"""How an image came: as one message of the tutorial's service, in fragments, with a user, by one request of
the second API, or as a resumable upload."""

T = TypeVar("T")

Add = Callable[[ImageRecord, Charge | None], Awaitable[T]]
"""Adds an image to the catalog, within the limits of the charge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits on one image. Only the first two are on storing it."""

    max_image_bytes: int
    max_pixels: int
    """Width × height × frames of an image that is stored."""
    decode_pixels: int
    """Width × height of an image that is decoded."""
    decode_seconds: float


class Images:
    """Stores images and previews them. An image that a method returned is durable."""

    def __init__(
        self,
        catalog: Catalog,
        staging: Staging,
        blobs: Blobs,
        decoder: Decoder,
        limits: Limits,
        *,
        metrics: Metrics | None = None,
    ) -> None:
        self._catalog = catalog
        self._staging = staging
        self._blobs = blobs
        self._decoder = decoder
        self._limits = limits
        self._ids = Ids()
        self._judging = Turns(_JUDGED, each=_JUDGED_EACH)
        metrics = metrics or Metrics()
        observe_places(metrics, "judging", self._judging)
        labels = ("format", "way")
        self._stored = metrics.counters(
            "conexiones.images.stored", "{image}", "Images that were stored, by format and way.", labels
        )
        self._stored_bytes = metrics.counters(
            "conexiones.images.stored.size", "By", "Bytes of images that were stored.", labels
        )
        self._quotas = metrics.histograms(
            "conexiones.quota.use",
            "1",
            "How much of a quota its owner had used, with an image that was stored: 1 is all of it.",
            ("quota",),
            bounds=_QUOTA_BOUNDS,
        )
        for quota in ("bytes", "images"):
            self._quotas.of(quota)

    async def add(
        self, data: bytes | memoryview, *, by: Principal, user: UserName | None = None
    ) -> ImageRecord:
        """Stores one whole image. Raises an ImageError if the bytes are no image, or over the limits, and
        QuotaExceeded, TicketUsedUp or FormatNotGranted if the caller may not store it."""
        image, _ = await self.admit(data, by=by, user=user, add=self._add, way="whole")
        return image

    async def admit(
        self,
        data: bytes | memoryview,
        *,
        by: Principal,
        user: UserName | None,
        name: str | None = None,
        add: Add[T],
        way: Way,
    ) -> tuple[ImageRecord, T]:
        """Makes the bytes of one whole image durable, and awaits `add`, which adds the record to the catalog.
        `name` is that of its file.

        If `add` raises, the bytes are dropped. Raises what the method `add` raises.
        """
        staged = self._staging.stage()
        try:
            if not data:
                raise EmptyImage
            self.check_size(len(data))
            room = await room_of(self._catalog, by, size=len(data))
            if len(data) > _SHORT:
                room.check_header(Head(self).see(data))  # what is refused, is so before it is written
            with span("stage", size=len(data)):
                await staged.write(data)
            return await self._publish(staged, room, user, add, way, name)
        except ImageError as error:
            error.field = _FIELD
            raise
        finally:
            await staged.discard()

    async def receive(self, fragments: AsyncIterator[bytes | memoryview], *, by: Principal) -> ImageRecord:
        """Takes in one image in fragments of any size, and stores it after the last one.

        Raises what `add` raises, as soon as the bytes so far show that the image cannot be stored. If the
        iterator raises, or the caller is cancelled, nothing is stored.
        """
        staged = self._staging.stage()
        try:
            room = await room_of(self._catalog, by)
            with span("stage") as staging:
                await self._take_in(staged, fragments, room)
                staging.set(size=staged.size)
            if not staged.size:
                raise EmptyStream
            image, _ = await self._publish(staged, room, None, self._add, "fragments")
            return image
        except ImageError as error:
            error.field = _FIELD
            raise
        finally:
            await staged.discard()

    async def preview(self, image: ImageRecord, *, caller: Caller = SERVER) -> bytes:
        """A JPEG of at most PREVIEW_SIDE pixels a side. Raises NoPreview, ServerBusy, BlobCorrupt,
        and ImageNotFound if the image has just been deleted."""
        limit = self._limits.decode_pixels
        if image.width * image.height > limit:
            raise NoPreview(
                format=image.format,
                cause="PIXELS",
                limit=limit,
                actual=image.width * image.height,
                unit="pixels",
            )
        with closing(await self._decoder.turn(caller=caller, large=is_large(image))) as turn:
            try:
                async with local_file(self._blobs, image) as path:
                    return await turn.preview(path, format=image.format, side=PREVIEW_SIDE)
            except BlobCorrupt:
                await refuse_deleted(self._catalog, image, field=_FIELD)
                raise

    async def _publish(
        self,
        staged: Staged,
        room: Room,
        user: UserName | None,
        add: Add[T],
        way: Way,
        name: str | None = None,
    ) -> tuple[ImageRecord, T]:
        with span("judge"):
            header = await self.judge(staged)
        room.check_header(header)

        async def add_record(digest: bytes) -> tuple[ImageRecord, T]:
            image = self.record(digest, staged.size, header, owner=room.by.owner, user=user, name=name)
            return image, await add(image, room.charge)

        with span("commit", size=staged.size):
            added = await staged.publish(add_record)
            self.count(added[0], way, room)
            await staged.settle()
        return added

    async def _add(self, image: ImageRecord, charge: Charge | None) -> None:
        await self._catalog.add_image(image, charge=charge)

    async def _take_in(
        self, staged: Staged, fragments: AsyncIterator[bytes | memoryview], room: Room
    ) -> None:
        """Stages the fragments. Judges the first bytes as soon as there are enough of them."""
        head = Head(self)
        async for fragment in fragments:
            self.check_size(staged.size + len(fragment))
            room.check_size(staged.size + len(fragment))
            room.check_header(head.see(fragment))
            await staged.write(fragment)
            del fragment  # not kept while waiting for the next one

    async def judge(self, staged: Staged) -> ImageHeader:
        """The header of the staged bytes, which are checked to the last. Raises an ImageError."""
        if staged.size < _LARGE:
            header = await staged.inspect(glance)
            if header:
                return self.checked(header)
        async with self._judging:
            return self.checked(await staged.inspect(probe, slow=True))

    def count(self, image: ImageRecord, way: Way, room: Room) -> None:
        """Counts an image that was stored."""
        self._stored.of(image.format, way).value += 1
        self._stored_bytes.of(image.format, way).value += image.size
        if room.charge is not None:
            used, allowance = room.usage, room.charge.allowance
            if allowance.stored_bytes:
                self._quotas.of("bytes").record((used.stored_bytes + image.size) / allowance.stored_bytes)
            if allowance.stored_images:
                self._quotas.of("images").record((used.stored_images + 1) / allowance.stored_images)

    def record(
        self,
        digest: bytes,
        size: int,
        header: ImageHeader,
        *,
        owner: str,
        user: UserName | None,
        name: str | None = None,
    ) -> ImageRecord:
        """The record of a new image, with an id of its own, for the catalog. `name` is that of its file."""
        return ImageRecord(
            id=self._ids.new(),
            digest=digest,
            size=size,
            format=header.format,
            width=header.width,
            height=header.height,
            frames=header.frames,
            user=user.text if user else None,
            create_time=now(),
            name=name,
            owner=owner,
        )

    def check_size(self, size: int) -> None:
        """Raises ImageTooLarge."""
        limit = self._limits.max_image_bytes
        if size > limit:
            raise ImageTooLarge(limit=limit, actual=size, unit="bytes")

    def checked(self, header: ImageHeader) -> ImageHeader:
        """The header, if it is within the limits. Raises TooManyPixels."""
        pixels = header.width * header.height * header.frames
        limit = self._limits.max_pixels
        if pixels > limit:
            raise TooManyPixels(format=header.format, limit=limit, actual=pixels, unit="pixels")
        return header


async def refuse_deleted(catalog: Catalog, image: ImageRecord, *, field: str = "id") -> None:
    """To be called when bytes are missing. Raises ImageNotFound if no image has them any more: then they were
    deleted while somebody was about to read them, and nothing is damaged."""
    if not await catalog.has_digest(image.digest):
        raise ImageNotFound(field=field)


class Head:
    """The first bytes of a stream, kept until they have shown the header or are PEEK_BYTES long."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._head: bytearray | None = bytearray()
        self._enough = HEAD_BYTES  # the number of bytes at which to look next

    def see(self, data: bytes | memoryview) -> ImageHeader | None:
        """Takes the next bytes of the stream, and gives the header when they have shown it. Raises an
        ImageError if they show that it cannot be stored."""
        head = self._head
        if head is None:
            return None
        head += data[: PEEK_BYTES - len(head)]
        if len(head) < self._enough or _may_be_markup(head):
            return None
        header = peek(bytes(head))
        if header:
            self._images.checked(header)
        if header or len(head) == PEEK_BYTES:
            self._head = None
        self._enough = min(len(head) * 4, PEEK_BYTES)
        return header


def _may_be_markup(head: bytearray) -> bool:
    """Whether more bytes are needed to tell an SVG, which has an error of its own, from other text."""
    return len(head) < MARKUP_BYTES and head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<"
