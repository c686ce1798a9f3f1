"""The rules of facts: every image gets them soon after it is stored, whatever the server's life is like."""

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
"""Events in the time of finding the facts of one image, above which the server is busy."""

REST = 19
"""Times as long as that took, it then rests; at most REST_SECONDS."""

REST_SECONDS = 1.0

_BATCH = 100
"""Images, or events, that are in memory at a time."""


class Describing:
    """Finds the facts of images: in the background of all, and at once of one.

    What is to be done is not kept in memory: it is all images without facts. `run` goes through those there
    were, newest first, and beside it follows the events of new ones. `quiet` decodes for it, and leaves the
    processor to `prompt`, which decodes for who waits.
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
        """The facts that are known of the images, by digest."""
        digests = {image.digest for image in images}
        return await self._descriptions.facts(digests) if digests else {}

    async def of(self, image: ImageRecord) -> Facts:
        """The facts of a stored image, found now if need be; with a problem where they cannot be found."""
        known = await self.known([image])
        return known.get(image.digest) or await self._find(image, self._prompt)

    async def run(self) -> None:
        """Describes what there is and what comes, until it is cancelled."""
        _, newest = await self._catalog.event_range()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(newest))
            group.create_task(self._catch_up())

    async def _catch_up(self) -> None:
        before = None
        while images := await self._descriptions.undescribed(before=before, limit=_BATCH):
            for image in images:
                await self._find_in_peace(image)
            before = images[-1].id

    async def _follow(self, at: int) -> None:
        while True:
            await self._catalog.changed(at)
            oldest, newest = await self._catalog.event_range()
            if at < oldest:
                # So many came that some events are forgotten already.
                at = newest
                await self._catch_up()
                continue
            for event in await self._catalog.events(after=at, limit=_BATCH):
                at = event.sequence
                if event.kind != "STORED":
                    continue
                image = await self._catalog.get_image(event.image_id)
                if image and not await self.known([image]):
                    await self._find_in_peace(image)

    async def _find_in_peace(self, image: ImageRecord) -> None:
        """Finds the facts; while many images come in, leaves most of the time to them."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        _, before = await self._catalog.event_range()
        await self._find(image, self._quiet)
        _, after = await self._catalog.event_range()
        if after - before > BUSY:
            await asyncio.sleep(min(REST_SECONDS, REST * (loop.time() - begin)))

    async def _find(self, image: ImageRecord, decoder: Decoder) -> Facts:
        """The facts, by one decoding however many ask. Only who is cancelled himself is."""
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
            facts = Facts(problem=str(error.facts["cause"]))
        except BlobCorrupt:
            # Damaged, or deleted a moment ago: then there is nothing to put either.
            facts = Facts(problem="CORRUPT")
        await self._descriptions.put_facts(image.digest, facts, now=now())
        return facts

    async def close(self) -> None:
        """Ends what is under way. Call it when `run` has ended."""
        tasks = list(self._making.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
