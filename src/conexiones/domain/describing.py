"""The rules of facts: every image gets them soon after it is stored, however often the server starts anew.

This assumes that one process has the data: that an image is being described is known in the memory of this
process only. Another process would describe it at the same time, to the same end.
"""

import asyncio
from collections.abc import Iterable

from conexiones.domain.ids import now
from conexiones.domain.images import Limits
from conexiones.errors import BlobCorrupt, NoPreview
from conexiones.ports.blobs import Blobs
from conexiones.ports.catalog import Catalog, Descriptions
from conexiones.ports.decoder import Decoder
from conexiones.ports.records import Facts, ImageRecord

BUSY = 4
"""The server is busy if more events than these come while the facts of one image are found."""

REST = 19
"""While the server is busy, describing rests this many times as long as the facts of one image took."""

REST_SECONDS = 1.0
"""The longest rest."""

_BATCH = 100
"""Images or events that are in memory at a time."""


class Describing:
    """Finds the facts of images: of all of them in the background, and of a single one on request.

    There is no queue: what is left to do is all images without facts. `run` goes through those that are
    there, newest first, and follows the events of new ones at the same time. It decodes with `quiet`, which
    leaves the processor to `prompt`, the decoder for requests that wait.
    """

    def __init__(
        self,
        catalog: Catalog,
        descriptions: Descriptions,
        blobs: Blobs,
        *,
        prompt: Decoder,
        quiet: Decoder,
        limits: Limits,
    ) -> None:
        self._catalog = catalog
        self._descriptions = descriptions
        self._blobs = blobs
        self._prompt = prompt
        self._quiet = quiet
        self._limits = limits
        self._making: dict[bytes, asyncio.Task[Facts]] = {}

    async def known(self, images: Iterable[ImageRecord]) -> dict[bytes, Facts]:
        """The facts of those images that have been described, by digest."""
        digests = {image.digest for image in images}
        return await self._descriptions.facts(digests) if digests else {}

    async def of(self, image: ImageRecord) -> Facts:
        """The facts of a stored image, which is described now if it was not. They may be a problem."""
        known = await self.known([image])
        return known.get(image.digest) or await self._find(image, self._prompt)

    async def run(self) -> None:
        """Describes the images that are there and those that come, until it is cancelled."""
        _, newest = await self._catalog.event_range()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(newest))
            group.create_task(self._catch_up())

    async def _catch_up(self) -> None:
        before = None
        while images := await self._descriptions.undescribed(before=before, limit=_BATCH):
            for image in images:
                await self._find_quietly(image)
            before = images[-1].id

    async def _follow(self, at: int) -> None:
        while True:
            await self._catalog.changed(at)
            oldest, newest = await self._catalog.event_range()
            if at < oldest:
                # So many events came that the catalog has forgotten some of them already.
                at = newest
                await self._catch_up()
                continue
            for event in await self._catalog.events(after=at, limit=_BATCH):
                at = event.sequence
                if event.kind != "STORED":
                    continue
                image = await self._catalog.get_image(event.image_id)
                if image and not await self.known([image]):
                    await self._find_quietly(image)

    async def _find_quietly(self, image: ImageRecord) -> None:
        """Finds the facts. While many images come in, it leaves most of the time to storing them."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        _, before = await self._catalog.event_range()
        await self._find(image, self._quiet)
        _, after = await self._catalog.event_range()
        if after - before > BUSY:
            await asyncio.sleep(min(REST_SECONDS, REST * (loop.time() - begin)))

    async def _find(self, image: ImageRecord, decoder: Decoder) -> Facts:
        """The facts, found by one decoding for all tasks that ask. It goes on if one of them is cancelled."""
        task = self._making.get(image.digest)
        if task is None:
            task = self._making[image.digest] = asyncio.create_task(self._describe(image, decoder))
            task.add_done_callback(lambda _: self._making.pop(image.digest))
        return await asyncio.shield(task)

    async def _describe(self, image: ImageRecord, decoder: Decoder) -> Facts:
        try:
            if image.width * image.height > self._limits.decode_pixels:
                facts = Facts(problem="PIXELS")
            else:
                async with self._blobs.local(image.digest) as path:
                    facts = await decoder.describe(path, format=image.format)
        except NoPreview as error:
            facts = Facts(problem=error.cause)
        except BlobCorrupt:
            # The bytes are damaged, or were deleted a moment ago; then `put_facts` does nothing.
            facts = Facts(problem="CORRUPT")
        await self._descriptions.put_facts(image.digest, facts, now=now())
        return facts

    async def close(self) -> None:
        """Cancels what is under way. Call it after `run` has ended."""
        tasks = list(self._making.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
