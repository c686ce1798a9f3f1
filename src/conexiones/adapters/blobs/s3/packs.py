"""Small blobs: whatever waits becomes one object, one behind the other."""

import asyncio
from typing import NamedTuple, cast

from conexiones.adapters.blobs.s3.objects import Objects
from conexiones.adapters.blobs.s3.patience import Patience
from conexiones.errors import StorageUnavailable
from conexiones.metrics import NUMBERS, SIZES, Metrics
from conexiones.shares import FairLine, acting_for

PACK = 4 << 20
"""Bytes of a pack, but for its last blob."""

AT_ONCE = 2
"""Packs that are put at a time: what comes meanwhile becomes the next one."""


class Spot(NamedTuple):
    """Where bytes are: in an object, from `start` on."""

    object: str
    start: int


class _Waiting(NamedTuple):
    data: bytes
    spot: "asyncio.Future[Spot]"


class Packs:
    """Belongs to one event loop. Clients take turns."""

    def __init__(
        self, objects: Objects, metrics: Metrics | None = None, *, patience: Patience | None = None
    ) -> None:
        self._objects = objects
        # For the pack before, and for its own: with a store that stands still all in the line wait no longer.
        self._seconds = 2 * (patience or Patience()).of(PACK)
        metrics = metrics or Metrics()
        self._images = metrics.histogram(
            "conexiones.objects.pack.images",
            "{image}",
            "Small images that came together, and were put into one object.",
            bounds=NUMBERS,
        )
        self._sizes = metrics.histogram(
            "conexiones.objects.pack.size", "By", "Bytes of such an object.", bounds=SIZES
        )
        self._line: FairLine[_Waiting] = FairLine()
        self._putting: set[asyncio.Task[None]] = set()

    async def add(self, data: bytes) -> Spot:
        """Where the bytes are, once they are there. Raises StorageUnavailable, in time, however many wait. If
        it is cancelled, they may be put all the same."""
        spot: asyncio.Future[Spot] = asyncio.get_running_loop().create_future()
        self._line.push(acting_for(), _Waiting(data, spot))
        if len(self._putting) < AT_ONCE:
            self._putting.add(asyncio.create_task(self._put_all()))
        try:
            async with asyncio.timeout(self._seconds):
                return await spot
        except TimeoutError as error:
            raise StorageUnavailable from error

    async def _put_all(self) -> None:
        try:
            while self._line:
                # Those whose tasks run in this turn of the loop come along.
                await asyncio.sleep(0)
                if group := self._take():
                    await self._put(group)
        finally:
            # In the same turn of the loop as the last look at the line: what comes later begins another task.
            self._putting.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _take(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        size = 0
        while self._line and size < PACK:
            caller, waiting = self._line.next()
            self._line.remove(caller, waiting, served=True)
            if not waiting.spot.done():  # the caller has not gone
                group.append(waiting)
                size += len(waiting.data)
        return group

    async def _put(self, group: list[_Waiting]) -> None:
        name = self._objects.name("packs")
        try:
            await self._objects.put(name, b"".join(waiting.data for waiting in group))
        except Exception as error:
            for waiting in group:
                if not waiting.spot.done():
                    waiting.spot.set_exception(error)
            return
        self._images.record(len(group))
        self._sizes.record(sum(len(waiting.data) for waiting in group))
        start = 0
        for waiting in group:
            if not waiting.spot.done():
                waiting.spot.set_result(Spot(name, start))
            start += len(waiting.data)
