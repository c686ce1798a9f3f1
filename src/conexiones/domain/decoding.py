"""How much work it is to decode an image, and decoding for several calls at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from conexiones.errors import NoPreview
from conexiones.image_formats import ImageFormat
from conexiones.ports.blobs import Blobs
from conexiones.ports.decoder import Decoder, Turn
from conexiones.ports.records import ImageRecord, Recipe, RenditionFormat
from conexiones.shares import Caller

T = TypeVar("T")

JUDGE = 5
"""Version of all that is said of an image and rendered of it: of `formats` and of the decoders. With a
greater one, stored images are judged again after the start, and kept renditions are made again. Raise it with
every change that makes another picture, other facts or another size of a file that was accepted already."""

LARGE_SECONDS = 0.5
"""Work of more than this is large: about so many seconds of one core of a machine of today."""

_READING: Final[dict[ImageFormat, int]] = {
    "JPEG": 15,  # if it is progressive; others take a third
    "PNG": 22,
    "GIF": 28,
    "WEBP": 16,
    "TIFF": 22,
    "AVIF": 60,
    "HEIF": 80,
    "BMP": 14,
}
"""Nanoseconds to read a pixel and to scale it down, as measured with images of 12 megapixels."""

_WRITING: Final[dict[RenditionFormat, int]] = {"JPEG": 40, "PNG": 80, "WEBP": 160, "AVIF": 400}
"""Nanoseconds to convert the colours of a pixel of a rendition and to write it."""


def is_large(image: ImageRecord, recipe: Recipe | None = None) -> bool:
    """Whether decoding an image, for a rendition if there is a recipe, is large work. It is an estimate: what
    takes longer counts as large when it does."""
    frames = image.frames if recipe and recipe.animated else 1
    pixels = image.width * image.height
    cost = pixels * _READING.get(image.format, max(_READING.values()))
    if recipe:
        cost += _pixels_of(recipe, image.width, image.height) * _WRITING[recipe.format]
    return cost * frames > LARGE_SECONDS * 1e9


def _pixels_of(recipe: Recipe, width: int, height: int) -> int:
    """The pixels of a frame of a rendition; the larger number, if it depends on how the image is turned."""
    if recipe.fit != "INSIDE":
        return recipe.width * recipe.height
    scale = max(
        min(1.0, (recipe.width or wide) / wide, (recipe.height or high) / high)
        for wide, high in ((width, height), (height, width))
    )
    return int(width * scale * height * scale)


@asynccontextmanager
async def local_file(blobs: Blobs, image: ImageRecord) -> AsyncIterator[Path]:
    """A local file with the bytes of an image, for a decoder, as in the port. Raises NoPreview for one that
    is too large to have any."""
    limit = blobs.largest_local
    if limit is not None and image.size > limit:
        raise NoPreview(format=image.format, cause="MEMORY", limit=limit, actual=image.size, unit="bytes")
    async with blobs.local(image.digest) as path:
        yield path


class Flights(Generic[T]):
    """Work that is done once, for all calls that want its result at the same time.

    It is done in the first turn at the decoder that one of them gets. Each waits for a turn of its own, so
    that none waits in the line of another client. When all of them have gone, the work is stopped, or its
    result `dropped`.
    """

    def __init__(self, decoder: Decoder, *, dropped: Callable[[T], None] = lambda _: None) -> None:
        self._decoder = decoder
        self._dropped = dropped
        self._flights: dict[Hashable, _Flight[T]] = {}

    @asynccontextmanager
    async def join(
        self,
        key: Hashable,
        find: Callable[[], Coroutine[Any, Any, T | None]],
        work: Callable[[Turn], Coroutine[Any, Any, T]],
        *,
        caller: Caller,
        large: bool,
    ) -> AsyncIterator[T]:
        """The result of what has that key: what `find` finds, else what `work` makes. It is kept while the
        context lasts. Raises what they raise, and ServerBusy."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(find, work)
        flight.users += 1
        try:
            yield await flight.result(self._decoder, caller, large=large)
        finally:
            flight.users -= 1
            if not flight.users:
                del self._flights[key]
                flight.end(self._dropped)

    def under_way(self, key: Hashable) -> "asyncio.Future[None] | None":
        """Done when the calls that want it now have gone; None if there are none."""
        flight = self._flights.get(key)
        return flight.ended if flight else None

    async def close(self) -> None:
        """Stops all work, and waits for its end. Its calls get CancelledError."""
        tasks = [task for flight in self._flights.values() for task in flight.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Flight(Generic[T]):
    """What is being found or made, and the number of its users: calls that wait for it or use it."""

    def __init__(
        self,
        find: Callable[[], Coroutine[Any, Any, T | None]],
        work: Callable[[Turn], Coroutine[Any, Any, T]],
    ) -> None:
        self.users = 0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._found = asyncio.create_task(find())
        self._work = work
        self._made: asyncio.Task[T] | None = None
        self._begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def tasks(self) -> list[asyncio.Task[Any]]:
        return [self._found, *([self._made] if self._made else [])]

    async def result(self, decoder: Decoder, caller: Caller, *, large: bool) -> T:
        # Shielded, because a call that is cancelled must not cancel it for the others.
        found = await asyncio.shield(self._found)
        if found is not None:
            return found
        if self._made is None and (turn := await self._turn(decoder, caller, large=large)):
            self._made = asyncio.create_task(self._work(turn))
            # Not in the task, which may be cancelled before it begins.
            self._made.add_done_callback(lambda _: turn.close())
            self._begun.set_result(None)
        assert self._made  # noqa: S101 (for mypy: it was there, or has begun here or in another's turn)
        return await asyncio.shield(self._made)

    async def _turn(self, decoder: Decoder, caller: Caller, *, large: bool) -> Turn | None:
        """A turn, or None once the work has begun in another's."""
        waiting = asyncio.ensure_future(decoder.turn(caller=caller, large=large))
        try:
            await asyncio.wait((waiting, self._begun), return_when=asyncio.FIRST_COMPLETED)
            if not self._begun.done():
                return waiting.result()
        except asyncio.CancelledError:
            _leave(waiting)
            raise
        _leave(waiting)
        return None

    def end(self, dropped: Callable[[T], None]) -> None:
        """Nobody wants it any more."""
        self.ended.set_result(None)

        def drop(task: "asyncio.Task[Any]") -> None:
            if not task.cancelled() and not task.exception() and task.result() is not None:
                dropped(task.result())

        # What looks for it is not stopped: it might just have found it.
        self._found.add_done_callback(drop)
        if self._made is not None:
            self._made.cancel()
            self._made.add_done_callback(drop)


def _leave(waiting: "asyncio.Future[Turn]") -> None:
    """Stops waiting for a turn. One that came at the same time goes to the next one."""
    if not waiting.cancel() and not waiting.exception():
        waiting.result().close()
