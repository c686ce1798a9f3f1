"""The rules of stored images: finding, reading and deleting them."""

import asyncio
import base64
import binascii
import hashlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from conexiones import errors
from conexiones.domain.ids import now
from conexiones.domain.images import refuse_deleted
from conexiones.domain.names import check_text
from conexiones.domain.ranges import pieces
from conexiones.domain.renditions import Renditions
from conexiones.metrics import Metrics
from conexiones.ports.blobs import Blobs
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import ImageRecord
from conexiones.principals import Principal
from conexiones.tracing import span
from conexiones.whole import to_end

PAGE = 100
"""Images of a page if the request names no number."""

MAX_PAGE = 1000
"""The most images of a page."""

MAX_DIGESTS = 1000
"""The most digests of a list."""

DIGEST_BYTES = 32
"""Bytes of a SHA-256."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which images to list: those of a user, created from `start` until before `end` (microseconds), whose
    name contains `name`, whose bytes have one of the digests, and which belong to `owner`. Raises
    InvalidField."""

    user: str | None = None
    start: int | None = None
    end: int | None = None
    name: str | None = None
    digests: Sequence[bytes] = ()
    owner: str | None = None

    def __post_init__(self) -> None:
        check_text(self.name or "", field="name")
        if len(self.digests) > MAX_DIGESTS or any(len(digest) != DIGEST_BYTES for digest in self.digests):
            raise errors.InvalidField(
                field="sha256", takes=f"at most {MAX_DIGESTS} digests of {DIGEST_BYTES} bytes each"
            )

    def mark(self, owner: str | None) -> bytes:
        """Distinguishes this filter from others in the token of a page, where only what belongs to `owner`
        is listed; None for all."""
        given: tuple[object, ...] = (self.user, self.start, self.end)
        if self.name or self.digests:  # tokens of lists without them are as they always were
            given += (self.name, sorted({*self.digests}))
        if owner is not None:
            given += ("owner", owner)
        return hashlib.sha256(repr(given).encode()).digest()[:6]


class Gallery:
    """Stored images. Methods that take an id raise ImageNotFound for one that is not known, and for one that
    belongs to others than the caller sees."""

    def __init__(
        self, catalog: Catalog, blobs: Blobs, renditions: Renditions, *, metrics: Metrics | None = None
    ) -> None:
        self._deleted = (metrics or Metrics()).counter(
            "conexiones.images.deleted", "{image}", "Images that were deleted."
        )
        self._catalog = catalog
        self._blobs = blobs
        self._renditions = renditions

    async def get(self, image_id: str, *, by: Principal) -> ImageRecord:
        image = await self._catalog.get_image(image_id)
        if image is None or not by.sees(image.owner):
            raise errors.ImageNotFound(field="id")
        return image

    async def page(
        self, filter: Filter, *, size: int, token: str, by: Principal
    ) -> tuple[list[ImageRecord], str]:
        """A page of the images that the caller sees, newest first, and the token of the next page, which is
        empty if there is none.

        Raises InvalidField.
        """
        if size < 0:
            raise errors.InvalidField(field="page_size", takes="0 or more")
        size = min(size or PAGE, MAX_PAGE)
        owner = owner_seen(by, filter.owner)
        mark = filter.mark(owner)
        before = _position(token, mark) if token else None
        found = await self._catalog.list_images(
            limit=size + 1,
            before=before,
            user=filter.user,
            start=filter.start,
            end=filter.end,
            name=filter.name,
            digests=filter.digests,
            owner=owner,
        )
        page = found[:size]
        return page, _token(page[-1].id, mark) if len(found) > size else ""

    async def delete(self, image_id: str, *, by: Principal) -> None:
        """Deletes an image, and also its bytes and renditions if no other image has the same bytes. Is done
        whole once it has begun, even if the caller is cancelled.

        One whose row is damaged can be deleted by those who see everything, as nobody can tell whose it is.
        """
        try:
            image = await self.get(image_id, by=by)
        except errors.BlobCorrupt:
            if by.view is not None:
                raise
            work = self._delete_damaged(image_id)
        else:
            work = self._delete(image)
        with span("commit"):
            await to_end(asyncio.ensure_future(work))

    async def _delete(self, image: ImageRecord) -> None:
        async with self._blobs.removing(image.digest):
            if await self._catalog.delete_image(image.id, now=now()) is None:
                raise errors.ImageNotFound(field="id")
        self._deleted.value += 1
        await self._renditions.forget(image.digest)

    async def _delete_damaged(self, image_id: str) -> None:
        """Its bytes go, too, if the row still says which they are."""
        image = await self._catalog.delete_image(image_id, now=now())
        if image is None:
            raise errors.ImageNotFound(field="id")
        self._deleted.value += 1
        if isinstance(image.digest, bytes) and len(image.digest) == DIGEST_BYTES:
            await self._blobs.delete(image.digest)
            await self._renditions.forget(image.digest)

    def cached(self, image: ImageRecord) -> bytes | None:
        """All of the bytes if they are in memory."""
        return self._blobs.cached(image.digest)

    def read(self, image: ImageRecord, offset: int, limit: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """The bytes of a range with their offsets, in pieces.

        A negative offset counts from the end, and with the limit 0 the range goes to the end. Raises
        OffsetOutOfRange, InvalidField, BlobCorrupt, and ImageNotFound if the image has just been deleted.
        """
        return pieces(image.size, offset, limit, partial(self._bytes, image))

    async def _bytes(self, image: ImageRecord, offset: int) -> AsyncGenerator[bytes, None]:
        try:
            async with aclosing(self._blobs.read(image.digest, offset)) as found:
                async for piece in found:
                    yield piece
                    del piece  # the next one comes in its place
        except errors.BlobCorrupt:
            await refuse_deleted(self._catalog, image)
            raise


def etag(sha256: bytes) -> str:
    """The strong entity tag (RFC 9110, section 8.8.3) of the bytes with that hash."""
    return f'"{sha256.hex()}"'


def owner_seen(by: Principal, wanted: str | None) -> str | None:
    """To whom belongs what a caller gets that asks for what belongs to `wanted`; None for all, and empty for
    nothing. Whoever is not told of owners cannot find out by asking for them."""
    if not wanted:
        return by.view
    return wanted if by.knows_owners or (by.owner and wanted == by.owner) else ""


def _token(image_id: str, mark: bytes) -> str:
    return base64.urlsafe_b64encode(mark + image_id.encode()).decode()


def _position(token: str, mark: bytes) -> str:
    try:
        raw = base64.urlsafe_b64decode(token.encode())
        if raw[:6] == mark:
            return raw[6:].decode("ascii")
    except (binascii.Error, UnicodeError):
        pass
    raise errors.InvalidField(field="page_token", takes="the token of a page of the same list")
