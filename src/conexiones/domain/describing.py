"""The rules of facts: every image gets them soon after it is stored, however often the server starts anew.

Several servers divide the images by their digests (duties.py). What two of them find of the same bytes is the
same, and the second one changes nothing.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial

from conexiones.domain.decoding import JUDGE, Flights, is_large, local_file
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

GROUP = 32
"""The most images whose facts are looked up at once, and recorded together."""

GROUP_SECONDS = 0.25
"""How long a group takes further images. Facts wait for at most twice as long until they are recorded."""

BUSY = 4
"""The server is busy if more events than these come for each image while the facts of a group are found. Of
the events of several servers, each counts its share."""

REST = 19
"""While the server is busy, describing rests this many times as long as the facts of a group took."""

REST_SECONDS = 1.0
"""The longest rest. While the server is busy, groups are small enough for it."""

ELSEWHERE_SECONDS = 0.25
"""How long new images are left to the calls of other servers, which may want their facts at once."""

_BATCH = 100
"""Images or events that are in memory at a time."""

_LARGE_LEFT = 10_000
"""The most ids of images that wait in memory for large work. More are looked up in the catalog after them."""


def is_busy(events: int, done: int, share: float) -> bool:
    """Whether a server that describes this share of all images had better leave its time to storing them: so
    many events came, of all servers, while it found the facts of `done` images."""
    return events * share > BUSY * done


class Describing:
    """Finds the facts of images: of all of them in the background, and of a single one on request.

    There is no queue: what is left to do is all images without facts. `run` goes through those that are
    there, newest first, and follows the events of new ones at the same time. Large work waits until all that
    is small is done, or at most as long as other large work took. `run` decodes with `quiet`, which leaves
    the processor to `prompt`, the decoder for calls that wait.

    What waits is looked up, read and recorded in groups: for each small image by itself that costs more than
    decoding it. The facts of one that comes alone are recorded at once. A group that was not recorded when
    the server died is found again.

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
        # What was found, by digest, and is not recorded yet.
        self._held: dict[bytes, tuple[ImageRecord, Facts]] = {}
        self._most = GROUP  # images of a group: what there was time for, of late
        self._busy = False
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
        self._held.clear()
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
                left = self._small_of(images, earlier=True)
                while left:
                    await self._find_some(left, earlier=True)
                before = images[-1].id

    async def _judge_again(self) -> None:
        before = None
        while images := await self._descriptions.judged_before(JUDGE, before=before, limit=_BATCH):
            left = deque(images)
            while left:
                while not (self._small_done.is_set() and self._large_done.is_set()):
                    await self._small_done.wait()
                    await self._large_done.wait()
                begin = asyncio.get_running_loop().time()
                if await self._find_some(left, earlier=True, unless_known=True):
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
        stored: dict[str, tuple[int, ImageRecord]] = {}
        for event, image in await self._catalog.news(after=at, limit=_BATCH):
            at = event.sequence
            if event.kind == "STORED" and image:
                stored[image.id] = at, image
        left = self._small_of([image for _, image in stored.values()])
        while left:
            self._at, _ = stored[left[0].id]
            await self._find_some(left, unless_known=True)
        self._at = at
        return at

    async def _image(self, image_id: str) -> ImageRecord | None:
        """None, too, if what the catalog has of it is damaged: whoever asks for the image is told that."""
        with suppress(BlobCorrupt):
            return await self._catalog.get_image(image_id)
        return None

    def _small_of(self, images: Sequence[ImageRecord], *, earlier: bool = False) -> deque[ImageRecord]:
        """Those that are small work. Large work is left for later; `earlier` says that an earlier version may
        have stored the images, and said something else of them. Those of other servers are left to them."""
        small = deque[ImageRecord]()
        for image in filter(self._is_ours, images):
            if is_large(image):
                self._leave_large(image, earlier=earlier)
            else:
                small.append(image)
        return small

    def _leave_large(self, image: ImageRecord, *, earlier: bool) -> None:
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
            begin = loop.time()
            if image is None or not await self._find_some(
                deque([image]), earlier=earlier, unless_known=not earlier
            ):
                continue
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
                if is_large(image) and image.digest not in known and self._is_ours(image):
                    self._leave_large(image, earlier=True)
            if self._large_missed:
                return
            before = images[-1].id

    async def _find_some(
        self, left: deque[ImageRecord], *, earlier: bool = False, unless_known: bool = False
    ) -> int:
        """Takes the first images of those that are left, finds their facts, and records them together; gives
        how many that were. Leaves out those that other servers have to do, and, with `unless_known`, those
        that this version has described. While many images come in, it leaves most of the time to storing
        them."""
        group = await self._group(left, unless_known=unless_known)
        if not group:
            return 0
        loop = asyncio.get_running_loop()
        begin = loop.time()
        end = begin + (REST_SECONDS / REST if self._busy else GROUP_SECONDS)
        late = begin + 2 * GROUP_SECONDS
        _, before = await self._catalog.event_range()
        if len(group) > 1:
            await self._blobs.read_ahead([image.digest for image in group])
        done = 0
        try:
            while group and (not done or loop.time() < end):
                image = group.popleft()
                if self._is_ours(image):
                    await self._find_quietly(image, earlier=earlier, late=late)
                done += 1
        except Exception:
            await self._record()  # what fails keeps nothing of the others from being done
            raise
        if group:
            self._most = done
            left.extendleft(reversed(group))
        elif done >= self._most:
            self._most = min(GROUP, 2 * done)
        await self._record()
        _, after = await self._catalog.event_range()
        self._newest = after
        self._busy = is_busy(after - before, done, self._duties.of_describing)
        if self._busy:
            await asyncio.sleep(min(REST_SECONDS, REST * (loop.time() - begin)))
        return done

    async def _group(self, left: deque[ImageRecord], *, unless_known: bool) -> deque[ImageRecord]:
        """Takes the first images of those that are left, and gives those that are to be described: one for
        all that have the same bytes."""
        group = dict[bytes, ImageRecord]()
        while left and len(group) < self._most:
            image = left.popleft()
            if self._is_ours(image):
                group.setdefault(image.digest, image)
        if unless_known and group:
            for digest, facts in (await self._descriptions.facts(group.keys(), judge=JUDGE)).items():
                if _is_final(facts):
                    del group[digest]
        return deque(group.values())

    async def _find_quietly(self, image: ImageRecord, *, earlier: bool, late: float) -> None:
        """Finds the facts, to be recorded. What was found before is recorded when it is `late`, however long
        these take."""
        taken_over = False  # a call that wants these facts has them found promptly
        while True:
            if under_way := self._flights.under_way(image.digest):
                taken_over = True
                await self._wait(under_way, late)
                continue
            if taken_over and await self._up_to_date(image):
                return
            task = self._quietly.get(image.digest)
            if task is None:
                task = self._quietly[image.digest] = asyncio.create_task(
                    self._describe_quietly(image, earlier=earlier)
                )
                task.add_done_callback(lambda task: self._forget(image.digest, task))
            try:
                await self._wait(task, late)
            except asyncio.CancelledError:
                task.cancel()
                raise
            if not task.cancelled():
                task.result()
                return
            taken_over = True

    async def _wait(self, work: "asyncio.Future[None]", late: float) -> None:
        """Waits until work is done, and when it is `late` records what was found before."""
        _, waiting = await asyncio.wait((work,), timeout=max(0.0, late - asyncio.get_running_loop().time()))
        if waiting:
            await self._record()
            await asyncio.wait((work,))

    async def _record(self) -> None:
        """Records what was found, all at once: the catalog makes one transaction of it."""
        outcomes = await asyncio.gather(*map(self._settle, list(self._held)), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _settle(self, digest: bytes) -> Facts | None:
        """Records what was found of these bytes, and gives it; None if nothing waits to be recorded."""
        held = self._held.get(digest)
        if held is None:
            return None
        recorded = await self._put(*held)
        if self._held.get(digest) is held:
            del self._held[digest]
        return held[1] if recorded else None

    def _forget(self, digest: bytes, task: "asyncio.Task[None]") -> None:
        if self._quietly.get(digest) is task:
            del self._quietly[digest]

    async def _describe_quietly(self, image: ImageRecord, *, earlier: bool) -> None:
        facts = None
        if earlier:
            try:
                image = await self._judged(image)
            except UnsupportedFormat:
                facts = Facts(problem="UNSUPPORTED")
        facts = facts or self._beyond_limits(image)
        if facts is None:
            with closing(await self._quiet.turn(large=is_large(image))) as turn:
                facts = await self._describe(image, turn)
        self._held[image.digest] = image, facts

    async def _found(self, image: ImageRecord) -> Facts | None:
        """The facts, as far as they need no decoder."""
        if held := await self._settle(image.digest):
            return held
        known = await self._descriptions.facts({image.digest}, judge=JUDGE)
        if (found := known.get(image.digest)) and _is_final(found):
            return found
        if facts := self._beyond_limits(image):
            await self._put(image, facts)
        return facts

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

    def _beyond_limits(self, image: ImageRecord) -> Facts | None:
        """The facts of an image that has too many pixels to be decoded; of others None."""
        if image.width * image.height <= self._limits.decode_pixels:
            return None
        return Facts(problem="PIXELS")

    async def _put(self, image: ImageRecord, facts: Facts) -> bool:
        """Records the facts, unless they are only that the bytes of a deleted image were not there."""
        if facts.problem == "CORRUPT" and not await self._is_stored(image):
            return False  # the same bytes may have been stored again since, as another image
        await self._descriptions.put_facts(image, facts, judge=JUDGE, now=now())
        self._described.of(facts.problem or "OK").value += 1
        return True

    async def _is_stored(self, image: ImageRecord) -> bool:
        try:
            return await self._catalog.get_image(image.id) is not None
        except BlobCorrupt:  # its row is damaged
            return True

    async def _promptly(self, image: ImageRecord, turn: Turn) -> Facts:
        if held := await self._settle(image.digest):
            return held  # they were found while this waited for its turn
        if quietly := self._quietly.pop(image.digest, None):
            quietly.cancel()
        with span("facts", format=image.format):
            facts = await self._describe(image, turn)
        await self._put(image, facts)
        return facts

    async def _describe(self, image: ImageRecord, turn: Turn) -> Facts:
        try:
            async with local_file(self._blobs, image) as path:
                return await turn.describe(path, format=image.format)
        except NoPreview as error:
            return Facts(problem=error.cause)
        except BlobCorrupt:
            # The bytes are damaged, or were deleted a moment ago; then `_put` does nothing.
            return Facts(problem="CORRUPT")

    async def close(self) -> None:
        """Cancels what is under way. Call it after `run` has ended."""
        await self._flights.close()
        tasks = list(self._quietly.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _is_final(facts: Facts) -> bool:
    """Whether bytes that come again have the same facts. If what was stored of them was damaged when they
    were described, what has come takes its place."""
    return facts.problem != "CORRUPT"
