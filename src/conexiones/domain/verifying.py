"""The rules of verification: every byte that the catalog refers to is read, and compared with its digest.
Rows of images are compared with their checksums."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from conexiones.domain.duties import VERIFYING, Duties
from conexiones.domain.ids import now
from conexiones.errors import BlobCorrupt, StorageFull
from conexiones.metrics import Metrics
from conexiones.ports.catalog import Catalog
from conexiones.ports.records import ImageRecord
from conexiones.ports.verifying import CheckedBlobs, Damage, KnownContents, Round, ScrubLog, ScrubState

ATTEMPTS = 3
"""How often an image is read that is damaged: better bytes may come in their place at any moment."""

OVERHEAD = 64 << 10
"""Bytes for which the time counts that reading an image takes besides its bytes."""

LEAST_RATE = 256 << 10
"""Bytes a second, also where less would be enough: so a small store is read soon after its start."""

MARGIN = 1.25
"""By how much faster all is read than it has to be, as images come while a round is under way."""

_DAY = 86400.0
_PAGE = 100
_NAP_SECONDS = 0.05
"""The shortest pause: shorter ones are made together."""

SAVE_SECONDS = 30.0
"""How much of a round is done again at most after a crash."""

LOOK_SECONDS = 30.0

MAX_DAMAGED = 10_000
"""The most damaged images that are remembered."""

AGAIN_SECONDS = 300.0
AGAIN_IMAGES = 20
AGAIN_SHARE = 0.1
"""How often so many damaged images are looked at again, which may be mended or deleted; and the most of the
time that is spent on it, as reading a large one may take hours."""


async def is_whole(
    image: ImageRecord,
    catalog: KnownContents,
    blobs: CheckedBlobs,
    read: Callable[[int], Awaitable[None]],
    *,
    attempts: int = ATTEMPTS,
) -> bool | None:
    """Whether all bytes of an image are what was stored; None if it was deleted meanwhile. `read` is awaited
    with the number of bytes that were read, some at a time. Raises StorageUnavailable."""
    for _ in range(attempts):
        try:
            size = 0
            async for count in blobs.check(image.digest):
                size += count
                await read(count)
            if size == image.size:
                return True
        except BlobCorrupt:
            pass
        if not await catalog.has_digest(image.digest):
            return None
    return False


def end_of(page: Sequence[tuple[ImageRecord, bool]], before: str | None) -> str | None:
    """The id behind which the page after this one begins, if this one began behind `before`; None if there is
    none. A damaged row may have any id: with one that is greater, the same page would come for ever."""
    for image, _ in reversed(page):
        if isinstance(image.id, str) and (before is None or image.id < before):
            return image.id
    return None


class Scrub:
    """Reads everything once in `days`, again and again, whatever else the server does. `on_damage` is called
    with each image that is found to be damaged, and with what of it is, once: not again in the next round,
    nor after a restart.

    Of several servers the one reads that has the duty. The others look at intervals how far it has come.
    """

    def __init__(
        self,
        catalog: Catalog,
        blobs: CheckedBlobs,
        log: ScrubLog,
        *,
        days: float,
        on_damage: Callable[[ImageRecord, Damage], None],
        duties: Duties | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._log = log
        self._days = days
        self._on_damage = on_damage
        self._duties = duties or Duties()
        self._state = ScrubState()
        self._debt = 0.0  # seconds of pauses that were not made yet
        self._rate = float(LEAST_RATE)  # bytes a second
        self._again = 0.0  # when damaged images are looked at again, by the loop's clock
        metrics = metrics or Metrics()
        self._images_read = metrics.counter(
            "conexiones.verify.checked", "{image}", "Stored images that were read whole and compared."
        )
        self._bytes_read = metrics.counter(
            "conexiones.verify.bytes", "By", "Bytes of stored images that were read and compared."
        )
        metrics.observe(
            "conexiones.verify.damaged",
            "{image}",
            "Stored images that are known to be damaged.",
            lambda: len(self._state.damaged),
        )
        metrics.observe(
            "conexiones.verify.last_finished",
            "s",
            "When all stored images had been read last, in seconds since 1970; 0 if never.",
            lambda: self._state.finished.finish_time / 1e6,
        )

    @property
    def state(self) -> ScrubState:
        return self._state

    async def run(self) -> None:
        """Reads until it is cancelled. Raises StorageUnavailable; then run it again."""
        while True:
            self._state = await self._log.load()
            while self._duties.has(VERIFYING):
                if not await self._look_again():
                    break
                if (seconds := self._due()) > 0:
                    await asyncio.sleep(min(seconds, LOOK_SECONDS))
                    continue
                await self._begin()
                if await self._read_on():
                    await self._finish()
            await self._duties.gained(LOOK_SECONDS)

    def _due(self) -> float:
        """Seconds until the next round. What was read by a clock that was ahead is read again, as the next
        round might be years away."""
        state, time = self._state, now()
        if state.current.begin_time or not state.finished.begin_time or state.finished.begin_time > time:
            return 0.0
        return state.finished.begin_time / 1e6 + self._days * _DAY - time / 1e6

    async def _begin(self) -> None:
        if not self._state.current.begin_time:
            self._state = replace(self._state, current=Round(begin_time=now()), before=None)
            await self._save()
        await self._set_rate()

    async def _set_rate(self) -> None:
        counts = await self._catalog.counts()
        work = counts.image_bytes + OVERHEAD * counts.images
        self._rate = max(LEAST_RATE, work * MARGIN / (self._days * _DAY))

    async def _read_on(self) -> bool:
        """Whether it has read everything, and not lost its duty."""
        clock = asyncio.get_running_loop().time
        saved = clock()
        damaged: dict[bytes, Damage | None] = {}  # by digest, of this page
        begin = self._state.before
        while images := await self._catalog.every_image(limit=_PAGE, before=begin):
            damaged.clear()
            for image, intact in images:
                if not self._duties.has(VERIFYING) or not await self._look_again():
                    return False
                found: Damage | None = "row"  # which need not say any more where the bytes are
                if intact:
                    if image.digest not in damaged:
                        await self._pause(OVERHEAD)
                        whole = await is_whole(image, self._catalog, self._blobs, self._count)
                        damaged[image.digest] = "bytes" if whole is False else None
                    found = damaged[image.digest]
                if not self._duties.has(VERIFYING):  # reading a large one may take hours
                    return False
                if self._note(image, found) or clock() - saved > SAVE_SECONDS:
                    await self._save()
                    saved = clock()
            if (begin := end_of(images, begin)) is None:
                break
            self._state = replace(self._state, before=begin)
        return True

    def _note(self, image: ImageRecord, damaged: Damage | None) -> bool:
        """Gives whether it is news that the image is damaged, or that it is not."""
        image_id = str(image.id)  # a damaged row may have anything
        state = self._state
        self._images_read.value += 1
        known = state.damaged
        if damaged and image_id not in known and len(known) < MAX_DAMAGED:
            known = known | {image_id: image.digest.hex() if damaged == "bytes" else ""}
            self._on_damage(image, damaged)
        elif not damaged and image_id in known:
            known = {id: digest for id, digest in known.items() if id != image_id}
        current = state.current
        self._state = replace(
            state,
            before=image_id,
            damaged=known,
            current=replace(current, images=current.images + 1),
        )
        return known is not state.damaged

    async def _look_again(self) -> bool:
        """Forgets damage that is mended, or whose image was deleted, without waiting for the next round.
        False if the duty was lost meanwhile: the state is another server's then."""
        clock = asyncio.get_running_loop().time
        begun = clock()
        if begun < self._again:
            return True
        known = self._state.damaged
        if known:  # also before the first round since the start: a large one would hold that up for days
            await self._set_rate()
        for image_id, digest in [*known.items()][:AGAIN_IMAGES]:
            left = {id: said for id, said in self._state.damaged.items() if id != image_id}
            if await self._is_damaged(image_id, digest):
                left[image_id] = digest  # at the end, so that all have their turn
            self._state = replace(self._state, damaged=left)
            if not self._duties.has(VERIFYING):
                return False
        if self._state.damaged.keys() != known.keys():
            await self._save()
        self._again = clock() + max(AGAIN_SECONDS, (clock() - begun) / AGAIN_SHARE)
        return True

    async def _is_damaged(self, image_id: str, digest: str) -> bool:
        # As in a round, for `get_image` may know the row from before it was damaged. A space comes before all
        # that ids consist of.
        found = await self._catalog.every_image(before=f"{image_id} ", limit=1)
        image, intact = found[0] if found else (None, False)
        if image is None or image.id != image_id:
            return not digest  # a damaged row may have another id than it is asked for by
        if not intact:
            return True
        await self._pause(OVERHEAD)
        whole = await is_whole(image, self._catalog, self._blobs, self._count_again, attempts=1)
        return whole is False

    async def _save(self) -> None:
        """On a full disk the round goes on all the same, and is saved when there is room."""
        with suppress(StorageFull):
            await self._log.save(self._state)

    async def _count(self, size: int) -> None:
        current = self._state.current
        self._state = replace(self._state, current=replace(current, bytes=current.bytes + size))
        await self._count_again(size)

    async def _count_again(self, size: int) -> None:
        self._bytes_read.value += size
        await self._pause(size)

    async def _pause(self, size: int) -> None:
        """Takes as long as reading so many bytes may take."""
        self._debt += size / self._rate
        if self._debt >= _NAP_SECONDS:
            nap, self._debt = self._debt, 0.0
            await asyncio.sleep(nap)

    async def _finish(self) -> None:
        state = self._state
        left = {id: digest for id, digest in state.damaged.items() if await self._is_there(id)}
        self._state = ScrubState(finished=replace(state.current, finish_time=now()), damaged=left)
        await self._save()

    async def _is_there(self, image_id: str) -> bool:
        try:
            return await self._catalog.get_image(image_id) is not None
        except BlobCorrupt:
            return True  # what the catalog has of it is damaged, too
