"""The rules of images that are stored: finding, reading and deleting them, and hearing of them."""

import asyncio
import base64
import binascii
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from conexiones import errors
from conexiones.domain.ids import now
from conexiones.domain.ranges import pieces
from conexiones.domain.renditions import Renditions
from conexiones.ports.blobs import Blobs
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import ImageRecord

PAGE = 100
MAX_PAGE = 1000
"""Images in one page: unless asked for, and at most."""

HEARTBEAT_SECONDS = 20.0

KEEP_EVENTS = 100_000
"""How far back a watcher can resume."""

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Event:
    """What a watcher is told: STORED and DESCRIBED with the image, DELETED with its id, HEARTBEAT, RESYNC."""

    kind: str
    token: str
    image: ImageRecord | None = None
    deleted_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which images to list: of a user, and by creation, from `start` to before `end` (microseconds)."""

    user: str | None = None
    start: int | None = None
    end: int | None = None

    @property
    def mark(self) -> bytes:
        """Tells this filter from others."""
        return hashlib.sha256(repr((self.user, self.start, self.end)).encode()).digest()[:6]


class Gallery:
    """Stored images. Methods that take an id raise ImageNotFound."""

    def __init__(self, catalog: Catalog, blobs: Blobs, renditions: Renditions) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._renditions = renditions
        self._draining = False

    def drain(self) -> None:
        """The server is about to end, and all watching with it: that is no fault of the catalog."""
        self._draining = True

    async def get(self, image_id: str) -> ImageRecord:
        image = await self._catalog.get_image(image_id)
        if image is None:
            raise errors.ImageNotFound(field="id")
        return image

    async def page(self, filter: Filter, *, size: int, token: str) -> tuple[list[ImageRecord], str]:
        """One page, newest first, and the token of the next, empty on the last."""
        if size < 0:
            raise errors.InvalidField(field="page_size", takes="0 or more")
        size = min(size or PAGE, MAX_PAGE)
        before = _position(token, filter) if token else None
        found = await self._catalog.list_images(
            limit=size + 1, before=before, user=filter.user, start=filter.start, end=filter.end
        )
        page = found[:size]
        return page, _token(page[-1].id, filter) if len(found) > size else ""

    async def delete(self, image_id: str) -> None:
        """Deletes an image, and its bytes and renditions if no other has them."""
        image = await self.get(image_id)
        async with self._blobs.removing(image.digest):
            if await self._catalog.delete_image(image_id, now=now()) is None:
                raise errors.ImageNotFound(field="id")
        await self._renditions.forget(image.digest)

    def read(self, image: ImageRecord, *, offset: int, limit: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """The bytes of a range with their offsets, in pieces of at most 1 MiB.

        A negative offset counts from the end; limit 0 is to the end. Raises OffsetOutOfRange, BlobCorrupt.
        """
        return pieces(image.size, offset, limit, lambda at: self._blobs.read(image.digest, at))

    async def watch(self, *, token: str, user: str | None) -> AsyncIterator[Event]:
        """What happens from now on, or after the event of that token. Never ends by itself.

        Raises ServerDraining at the end of the server.
        """
        oldest, newest = await self._catalog.event_range()
        at = newest
        if token:
            at = _sequence(token)
            if not oldest <= at <= newest:
                at = newest
                yield Event("RESYNC", str(at))
        yield Event("HEARTBEAT", str(at))
        while True:
            if not await self._changed(at):
                yield Event("HEARTBEAT", str(at))
                continue
            oldest, newest = await self._catalog.event_range()
            if at < oldest:
                # So slow that what it has not seen is forgotten.
                at = newest
                yield Event("RESYNC", str(at))
                continue
            for event in await self._catalog.events(after=at, limit=_BATCH):
                at = event.sequence
                if user is not None and event.user != user:
                    continue
                if event.kind == "DELETED":
                    yield Event("DELETED", str(at), deleted_id=event.image_id)
                    continue
                image = await self._catalog.get_image(event.image_id)
                if image:  # if not, its deletion is told soon
                    yield Event(event.kind, str(at), image=image)

    async def _changed(self, at: int) -> bool:
        """Waits for an event after that one; False if it is time for a heartbeat. Raises ServerDraining."""
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                await self._catalog.changed(at)
        except TimeoutError:
            return False
        except errors.StorageUnavailable:
            if self._draining:
                raise errors.ServerDraining from None
            raise
        return True

    async def sweep(self) -> None:
        """Forgets old events. To be called now and then."""
        await self._catalog.forget_events(keep=KEEP_EVENTS)


def etag(sha256: bytes) -> str:
    """A strong entity tag (RFC 9110, section 8.8.3) of bytes with that hash."""
    return f'"{sha256.hex()}"'


def _token(image_id: str, filter: Filter) -> str:
    return base64.urlsafe_b64encode(filter.mark + image_id.encode()).decode()


def _position(token: str, filter: Filter) -> str:
    try:
        raw = base64.urlsafe_b64decode(token.encode())
        if raw[:6] == filter.mark:
            return raw[6:].decode("ascii")
    except (binascii.Error, UnicodeError):
        pass
    raise errors.InvalidField(field="page_token", takes="the token of a page of the same list")


def _sequence(token: str) -> int:
    if not (token.isascii() and token.isdigit() and len(token) < 19):
        raise errors.InvalidField(field="resume_token", takes="the token of an event")
    return int(token)
