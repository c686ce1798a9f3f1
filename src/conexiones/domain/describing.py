"""The rules of facts: every image gets them soon after it is stored, however often the server starts anew.

Several servers divide the images by their digests (duties.py). What two of them find of the same bytes is the
same, and the second one changes nothing.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial

from conexiones.domain.decoding import JUDGE, Flights, is_large
from conexiones.domain.duties import Duties, describing
from conexiones.domain.formats import probe
from conexiones.domain.ids import now
from conexiones.domain.images import Limits
from conexiones.errors import BlobCorrupt, ImageError, NoPreview, UnsupportedFormat
from conexiones.metrics import Metrics
from conexiones.ports.blobs import Blobs
from conexiones.ports.catalog import Catalog, Descriptions
from conexiones.ports.decoder import Decoder, Turn
from conexiones.ports.records import Facts, ImageRecord
from conexiones.shares import SERVER, Caller
from conexiones.tracing import span

BUSY = 4
"""The server is busy if more events than these come while the facts of one image are found."""

REST = 19
"""While the server is busy, describing rests this many times as long as the facts of one image took."""

REST_SECONDS = 1.0
"""The longest rest."""

ELSEWHERE_SECONDS = 0.25
"""How long new images are left to the calls of other servers, which may want their facts at once."""

_BATCH = 100
"""Images or events that are in memory at a time."""

_LARGE_LEFT = 10_000
"""The most ids of images that wait in memory for large work. More are looked up in the catalog after them."""


class Describing:
    """Finds the facts of images: of all of them in the background, and of a single one on request.

    There is no queue: what is left to do is all images without facts. `run` goes through those that are
    there, newest first, and follows the events of new ones at the same time. Large work waits until all that
    is small is done, or at most as long as other large work took. `run` decodes with `quiet`, which leaves
    the processor to `prompt`, the decoder for calls that wait.

    While nothing of that is left, `run` judges again what an earlier version judged (JUDGE): it corrects the
    format, width, height and frames of the images, and their facts. Ids, bytes and their entity tags stay.
    What is no longer accepted stays stored as it was; its facts say why it is not shown.
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
        duties: Duties | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._catalog = catalog
        self._duties = duties or Duties()
        self._descriptions = descriptions
        self._blobs = blobs
        self._quiet = quiet
        self._limits = limits
        self._flights: Flights[Facts] = Flights(prompt)
        self._quietly: dict[bytes, asyncio.Task[None]] = {}
        # Ids of images whose description is large work, and whether an earlier version may have stored them.
        self._large_left: deque[tuple[str, bool]] = deque()
        self._large_came = asyncio.Event()
        self._large_missed = False  # whether there are more than those
        self._small_work = 0  # loops that are at small work
        self._small_done = asyncio.Event()  # set while no small work is left
        self._large_done = asyncio.Event()  # set while no large work is left
        self._at, self._newest = 0, 0  # sequences of events: that were seen to, and that there are
        metrics = metrics or Metrics()
        self._described = metrics.counters(
            "conexiones.describing.described",
            "{image}",
            "Images whose facts were found, or why there are none.",
            ("outcome",),
        )
        metrics.observe(
            "conexiones.describing.backlog",
            "{image}",
            "Images that wait to be described: events that nobody has looked at (new), long work (large).",
            lambda: {("new",): max(0, self._newest - self._at), ("large",): len(self._large_left)},
            ("kind",),
        )

    async def known(self, images: Iterable[ImageRecord]) -> dict[bytes, Facts]:
        """The facts of those images that have been described, by digest."""
        digests = {image.digest for image in images}
        return await self._descriptions.facts(digests) if digests else {}

    async def of(self, image: ImageRecord, *, caller: Caller = SERVER) -> Facts:
        """The facts of an image that was stored by this version, perhaps a moment ago. It is described now if
        it was not. They may be a problem.

        Raises ServerBusy. If all who wait for it have gone, it is left to `run`.
        """
        async with self._flights.join(
            image.digest,
            partial(self._found, image),
            partial(self._promptly, image),
            caller=caller,
            large=is_large(image),
        ) as facts:
            return facts

    async def run(self) -> None:
        """Describes the images that are there and those that come, until it is cancelled."""
        _, newest = await self._catalog.event_range()
        self._at = self._newest = newest
        self._large_left.clear()
        self._small_done.clear()
        self._large_done.clear()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._whenever_gained(self._catch_up))
            group.create_task(self._follow(newest))
            group.create_task(self._describe_large())
            group.create_task(self._whenever_gained(self._judge_again))

    @contextmanager
    def _at_small_work(self) -> Iterator[None]:
        self._small_work += 1
        self._small_done.clear()
        try:
            yield
        finally:
            self._small_work -= 1
            if not self._small_work:
                self._small_done.set()

    async def _whenever_gained(self, go_through: Callable[[], Awaitable[None]]) -> None:
        """Goes through the images, and again whenever this server has got some that another one had left."""
        while True:
            gained = asyncio.ensure_future(self._duties.gained())
            try:
                await go_through()
                await gained
            finally:
                gained.cancel()

    def _is_ours(self, image: ImageRecord) -> bool:
        return self._duties.has(describing(image.digest))

    async def _catch_up(self) -> None:
        before = None
        with self._at_small_work():
            while images := await self._descriptions.undescribed(before=before, limit=_BATCH):
                for image in images:
                    await self._take(image, earlier=True)
                before = images[-1].id

    async def _judge_again(self) -> None:
        before = None
        while images := await self._descriptions.judged_before(JUDGE, before=before, limit=_BATCH):
            for image in images:
                while not (self._small_done.is_set() and self._large_done.is_set()):
                    await self._small_done.wait()
                    await self._large_done.wait()
                if self._is_ours(image) and not await self._up_to_date(image):
                    begin = asyncio.get_running_loop().time()
                    await self._find_quietly(image, earlier=True)
                    # Nobody waits for this, so that half of the time is left to others.
                    took = asyncio.get_running_loop().time() - begin
                    await asyncio.sleep(min(REST_SECONDS, took))
            before = images[-1].id

    async def _follow(self, at: int) -> None:
        while True:
            await self._catalog.changed(at)
            if self._duties.divided:
                await asyncio.sleep(ELSEWHERE_SECONDS)
            with self._at_small_work():
                at = await self._take_new(at)

    async def _take_new(self, at: int) -> int:
        """Describes the images of the next events after `at`, and gives the sequence of the last one."""
        oldest, newest = await self._catalog.event_range()
        self._at, self._newest = at, newest
        if at < oldest:
            # So many events came that the catalog has forgotten some of them already.
            await self._catch_up()
            self._at = newest
            return newest
        for event in await self._catalog.events(after=at, limit=_BATCH):
            self._at, at = at, event.sequence
            if event.kind != "STORED":
                continue
            image = await self._image(event.image_id)
            if image and self._is_ours(image) and not await self._up_to_date(image):
                await self._take(image)
        self._at = at
        return at

    async def _image(self, image_id: str) -> ImageRecord | None:
        """None, too, if what the catalog has of it is damaged: whoever asks for the image is told that."""
        with suppress(BlobCorrupt):
            return await self._catalog.get_image(image_id)
        return None

    async def _take(self, image: ImageRecord, *, earlier: bool = False) -> None:
        """Describes an image, or leaves it for later if that is large work. `earlier` says that an earlier
        version may have stored it, and said something else of it. Those of other servers are left to them."""
        if not self._is_ours(image):
            return
        if not is_large(image):
            await self._find_quietly(image, earlier=earlier)
            return
        self._large_done.clear()
        if len(self._large_left) < _LARGE_LEFT:
            self._large_left.append((image.id, earlier))
            self._large_came.set()
        else:
            self._large_missed = True

    async def _describe_large(self) -> None:
        """Does the large work: one piece while no small work is left, or after small work has had as much
        time as the piece before. So nobody's large images keep the small ones of others from being
        described."""
        loop = asyncio.get_running_loop()
        while True:
            while not self._large_left:
                if self._large_missed:
                    await self._look_for_large()
                else:
                    self._large_came.clear()
                    self._large_done.set()
                    await self._large_came.wait()
            image_id, earlier = self._large_left.popleft()
            image = await self._image(image_id)
            if image is None or not self._is_ours(image):
                continue
            begin = loop.time()
            await self._find_quietly(image, earlier=earlier)
            with suppress(TimeoutError):
                async with asyncio.timeout(loop.time() - begin):
                    await self._small_done.wait()

    async def _look_for_large(self) -> None:
        """Finds those that were missed. None of them has any facts."""
        self._large_missed = False
        before = None
        while images := await self._descriptions.undescribed(before=before, limit=_BATCH):
            known = await self.known(images)
            for image in images:
                if is_large(image) and image.digest not in known:
                    await self._take(image, earlier=True)
            if self._large_missed:
                return
            before = images[-1].id

    async def _find_quietly(self, image: ImageRecord, *, earlier: bool) -> None:
        """Finds the facts. While many images come in, it leaves most of the time to storing them."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        _, before = await self._catalog.event_range()
        taken_over = False  # a call that wants these facts has them found promptly
        while True:
            if under_way := self._flights.under_way(image.digest):
                taken_over = True
                await asyncio.shield(under_way)
                continue
            if taken_over and await self._up_to_date(image):
                break
            task = self._quietly.get(image.digest)
            if task is None:
                task = self._quietly[image.digest] = asyncio.create_task(
                    self._describe_quietly(image, earlier=earlier)
                )
                task.add_done_callback(lambda task: self._forget(image.digest, task))
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError:
                task.cancel()
                raise
            if not task.cancelled():
                task.result()
                break
            taken_over = True
        _, after = await self._catalog.event_range()
        self._newest = after
        if after - before > BUSY:
            await asyncio.sleep(min(REST_SECONDS, REST * (loop.time() - begin)))

    def _forget(self, digest: bytes, task: "asyncio.Task[None]") -> None:
        if self._quietly.get(digest) is task:
            del self._quietly[digest]

    async def _describe_quietly(self, image: ImageRecord, *, earlier: bool) -> None:
        if earlier:
            try:
                image = await self._judged(image)
            except UnsupportedFormat:
                await self._put(image, Facts(problem="UNSUPPORTED"))
                return
        if not await self._beyond_limits(image):
            with closing(await self._quiet.turn(large=is_large(image))) as turn:
                await self._describe(image, turn)

    async def _found(self, image: ImageRecord) -> Facts | None:
        """The facts, as far as they need no decoder."""
        known = await self._descriptions.facts({image.digest}, judge=JUDGE)
        return known.get(image.digest) or await self._beyond_limits(image)

    async def _up_to_date(self, image: ImageRecord) -> bool:
        """Whether this version found the facts, or one that says the same."""
        return bool(await self._descriptions.facts({image.digest}, judge=JUDGE))

    async def _judged(self, image: ImageRecord) -> ImageRecord:
        """An image as it would be stored today. What would be refused is as it was. Raises
        UnsupportedFormat."""
        try:
            header = await self._blobs.inspect(image.digest, probe)
        except UnsupportedFormat:
            raise
        except (ImageError, BlobCorrupt):
            return image
        return replace(
            image, format=header.format, width=header.width, height=header.height, frames=header.frames
        )

    async def _beyond_limits(self, image: ImageRecord) -> Facts | None:
        """The facts of an image that has too many pixels to be decoded; of others None."""
        if image.width * image.height <= self._limits.decode_pixels:
            return None
        facts = Facts(problem="PIXELS")
        await self._put(image, facts)
        return facts

    async def _put(self, image: ImageRecord, facts: Facts) -> None:
        await self._descriptions.put_facts(image, facts, judge=JUDGE, now=now())
        self._described.of(facts.problem or "OK").value += 1

    async def _promptly(self, image: ImageRecord, turn: Turn) -> Facts:
        if quietly := self._quietly.pop(image.digest, None):
            quietly.cancel()
        with span("facts", format=image.format):
            return await self._describe(image, turn)

    async def _describe(self, image: ImageRecord, turn: Turn) -> Facts:
        try:
            async with self._blobs.local(image.digest) as path:
                facts = await turn.describe(path, format=image.format)
        except NoPreview as error:
            facts = Facts(problem=error.cause)
        except BlobCorrupt:
            # The bytes are damaged, or were deleted a moment ago; then `put_facts` does nothing.
            facts = Facts(problem="CORRUPT")
        await self._put(image, facts)
        return facts

    async def close(self) -> None:
        """Cancels what is under way. Call it after `run` has ended."""
        await self._flights.close()
        tasks = list(self._quietly.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
