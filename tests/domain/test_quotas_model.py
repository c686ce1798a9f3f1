"""What owners have and what tickets have spent, over random steps, restarts and kills of the writing process:
it is always what is in the catalog, and never more than was allowed."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from conexiones import errors
from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.adapters.decoder.pool import VipsDecoder
from conexiones.adapters.renditions.cache import FileRenditions
from conexiones.domain.gallery import Filter, Gallery
from conexiones.domain.images import Images
from conexiones.domain.renditions import Renditions
from conexiones.domain.uploads import Uploads
from conexiones.domain.users import Users
from conexiones.ports.records import ImageRecord
from conexiones.principals import EVERYBODY, Allowance, Principal, Scope, Terms
from tests.adapters.stored import stored_blobs
from tests.domain.conftest import LIMITS
from tests.support.bitmaps import bitmap
from tests.support.lengths import examples
from tests.support.processes import own_writers

PICTURES = [b"".join(bitmap(20, rows)) for rows in (2, 5, 9)]
WRITE: frozenset[Scope] = frozenset({"write"})
LIMITED = Allowance(stored_images=4, stored_bytes=2500, open_uploads=2)
TERMS = Terms(images=5, bytes=4000)

ANA = Principal(subject="token:ana", scopes=WRITE, own=True, owner="token:ana", allowance=LIMITED)
EVA = Principal(subject="token:eva", scopes=WRITE, own=True, owner="token:eva")
# Whatever belongs to its owner was stored with the ticket.
TICKET = Principal(subject="token:eva", scopes=WRITE, own=True, owner="guest", credential="t", terms=TERMS)
CALLERS = (ANA, EVA, TICKET, EVERYBODY)
REFUSED = (errors.QuotaExceeded, errors.TicketUsedUp)

callers = st.sampled_from(CALLERS)
pictures = st.sampled_from(PICTURES)
ways = st.sampled_from(["add", "register", "receive", "upload"])


class Machine(RuleBasedStateMachine):
    """The model is what the catalog lists: its rows are counted, where the server keeps counters."""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name)
        self.opened = False
        self.open()
        self.number = 0
        self.open_uploads: list[tuple[Principal, str]] = []  # that nobody goes on with

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    def open(self) -> None:
        self.catalog = SqliteCatalog(self.root / "catalog.sqlite3")
        self.store = LocalStore(self.root, self.catalog, writer=self.catalog.writer)
        self.cache = FileRenditions(self.root, limit=1 << 20)
        for part in (self.catalog, self.store, self.cache):
            self.run(part.open())
        # Never opened: nothing is decoded.
        decoder = VipsDecoder(workers=1, decode_pixels=1, decode_seconds=1, decode_memory=1)
        blobs = self.store.blobs
        self.images = Images(self.catalog, self.store.staging, blobs, decoder, LIMITS)
        self.users = Users(self.catalog, self.images)
        self.uploads = Uploads(self.catalog, self.store.staging, self.images)
        renditions = Renditions(self.catalog, blobs, decoder, self.cache, LIMITS)
        self.gallery = Gallery(self.catalog, blobs, renditions)
        self.opened = True

    def close(self) -> None:
        self.opened = False
        for part in (self.uploads, self.cache, self.store, self.catalog):
            self.run(part.close())

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            if self.opened:
                self.close()
            self.folder.cleanup()
            self.loop.close()

    async def store_one(self, by: Principal, way: str, data: bytes) -> None:
        match way:
            case "add":
                await self.images.add(data, by=by)
            case "register":
                await self.users.register("ana", pow=1, image=data, by=by)
            case "receive":
                await self.images.receive(_pieces(data), by=by)
            case _:
                upload = await self.begin_upload(by)
                try:
                    async with self.uploads.writer(upload, by=by) as writer:
                        await writer.write(0, data, None)
                        await writer.commit()
                    await self.uploads.finish(upload, size=len(data), sha256=b"", by=by)
                except REFUSED:
                    await self.uploads.cancel(upload, by=by)
                    raise

    async def begin_upload(self, by: Principal) -> str:
        self.number += 1
        return (await self.uploads.create(str(self.number), by=by, user="", size=None)).id

    @rule(by=callers, way=ways, data=pictures)
    def store_an_image(self, by: Principal, way: str, data: bytes) -> None:
        before = self.counted(by.owner)
        allowed = self.allowed(by, len(data))
        try:
            self.run(self.store_one(by, way, data))
        except REFUSED:
            assert not allowed or way == "upload"  # which may have no place for one more open upload
            assert self.counted(by.owner) == before
        else:
            assert allowed
            assert self.counted(by.owner) == (before[0] + 1, before[1] + len(data))

    @rule(by=callers)
    def leave_an_upload_open(self, by: Principal) -> None:
        try:
            self.open_uploads.append((by, self.run(self.begin_upload(by))))
        except REFUSED:
            assert by in (ANA, TICKET)

    @rule(
        by=st.sampled_from((ANA, TICKET)),
        wanted=st.lists(st.tuples(ways, pictures), min_size=6, max_size=12),
        killed_after=st.none() | st.integers(0, 40),
    )
    def store_at_once(self, by: Principal, wanted: list[tuple[str, bytes]], killed_after: int | None) -> None:
        async def storm() -> list[BaseException | None]:
            tasks = [asyncio.ensure_future(self.store_one(by, *one)) for one in wanted]
            if killed_after is not None:
                for _ in range(killed_after):
                    await asyncio.sleep(0)
                own_writers()[0].kill()
            return await asyncio.gather(*tasks, return_exceptions=True)

        for outcome in self.run(storm()):
            lost = killed_after is not None and isinstance(outcome, errors.StorageUnavailable)
            assert outcome is None or lost or isinstance(outcome, REFUSED), outcome
        if killed_after is not None:
            self.restart()  # which removes the bytes of what came to nothing

    @rule(which=st.integers(0, 20))
    def delete(self, which: int) -> None:
        if images := self.listed():
            self.run(self.gallery.delete(images[which % len(images)].id, by=EVERYBODY))

    @rule(which=st.integers(0, 20))
    def cancel(self, which: int) -> None:
        if self.open_uploads:
            by, upload = self.open_uploads.pop(which % len(self.open_uploads))
            self.run(self.uploads.cancel(upload, by=by))

    @rule()
    def restart(self) -> None:
        self.close()
        self.open()

    def listed(self) -> list[ImageRecord]:
        page, _ = self.run(self.gallery.page(Filter(), size=1000, token="", by=EVERYBODY))
        images: list[ImageRecord] = page
        return images

    def counted(self, owner: str) -> tuple[int, int]:
        """The images of an owner and their bytes, by the rows of the images."""
        sizes = [
            image.size
            for image in self.run(
                self.catalog.list_images(limit=1000, before=None, user=None, start=None, end=None)
            )
            if image.owner == owner
        ]
        return len(sizes), sum(sizes)

    def allowed(self, by: Principal, size: int) -> bool:
        count, total = self.counted(by.owner)
        if by is ANA:
            return count + 1 <= 4 and total + size <= 2500
        if by is TICKET:
            usage = self.run(self.catalog.usage(by.owner, ticket=by.ticket))
            return bool(usage.ticket_images + 1 <= 5 and usage.ticket_bytes + size <= 4000)
        return True

    @invariant()
    def what_is_counted_is_there(self) -> None:
        if not hasattr(self, "images"):
            return
        for by in CALLERS:
            usage = self.run(self.catalog.usage(by.owner, ticket=by.ticket))
            if by is EVERYBODY:
                assert (usage.stored_images, usage.stored_bytes, usage.open_uploads) == (0, 0, 0)
                continue
            assert (usage.stored_images, usage.stored_bytes) == self.counted(by.owner)
            by.allowance.check_stored(images=usage.stored_images, bytes=usage.stored_bytes)
            by.allowance.check_open(usage.open_uploads)
        spent = self.run(self.catalog.usage(TICKET.owner, ticket=TICKET.ticket))
        TERMS.check_spent(images=spent.ticket_images, bytes=spent.ticket_bytes)
        # Also those that were deleted since.
        events = self.run(self.catalog.events(after=0, limit=100_000))
        stored = [event for event in events if (event.owner, event.kind) == (TICKET.owner, "STORED")]
        assert spent.ticket_images == len(stored)
        # Bytes of what was refused are gone, and those of each image are there.
        blobs = stored_blobs(self.root)
        assert blobs.keys() == {image.digest.hex() for image in self.listed()}


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 100):
        yield data[start : start + 100]


TestQuotas = Machine.TestCase
TestQuotas.settings = settings(max_examples=examples(3, long=5), stateful_step_count=20)
