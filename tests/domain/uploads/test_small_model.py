"""Small images on the real store compared with a model of a few lines, over random steps and restarts."""

import asyncio
import hashlib
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from conexiones import errors
from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.adapters.decoder.pool import VipsDecoder
from conexiones.domain.ids import now
from conexiones.domain.images import Images, Limits
from conexiones.domain.uploads import SmallImage, SmallImages, Uploads
from conexiones.ports.records import ImageRecord
from conexiones.principals import EVERYBODY, Allowance, Principal, Terms
from tests.adapters.backends import CatalogBackend
from tests.adapters.blobs.contents import Store
from tests.support.bitmaps import bitmap

CONTENTS = [b"".join(bitmap(40, 24, seed=seed)) for seed in range(3)]
SIZE = len(CONTENTS[0])
LIMITS = Limits(max_image_bytes=10_000, max_pixels=10_000, decode_pixels=10_000, decode_seconds=10)
ROOM = 3

OWNER = Principal(subject="token:ana", own=True, owner="ana", allowance=Allowance(stored_images=ROOM))
TICKET = replace(OWNER, credential="ticket", terms=Terms(bytes=10 * SIZE, images=2))
CALLERS = {"everybody": EVERYBODY, "owner": OWNER, "ticket": TICKET}

Key = tuple[str, str]
"""A caller and a request id."""


class Machine(RuleBasedStateMachine):
    """`requests` has what each request stored: the image, its content and its user. `there` has the images
    that were not deleted, with whom they belong to."""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.requests: dict[Key, tuple[str, int, str]] = {}
        self.there: dict[str, tuple[str, int]] = {}
        self.opened: set[Key] = set()
        self.spent = 0
        self.open()

    def run(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    def open(self) -> None:
        self.catalog, self.store = self.parts(Path(self.folder.name))
        self.run(self.catalog.open())
        self.run(self.store.open())
        decoder = VipsDecoder(workers=1, decode_pixels=1, decode_seconds=1, decode_memory=1)
        images = Images(self.catalog, self.store.staging, self.store.blobs, decoder, LIMITS)
        self.small = SmallImages(self.catalog, images)
        self.uploads = Uploads(self.catalog, self.store.staging, images)

    def parts(self, root: Path) -> tuple[CatalogBackend, Store]:
        catalog = SqliteCatalog(root / "catalog.sqlite3")
        return catalog, LocalStore(root, catalog, writer=catalog.writer)

    def close(self) -> None:
        self.run(self.uploads.close())
        self.run(self.store.close())
        self.run(self.catalog.close())

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.close()
            self.folder.cleanup()
            self.loop.close()

    def outcome(self, caller: str, request_id: str, content: int, user: str) -> str:
        """What becomes of a request: the id of an image, the reason of an error, or "new"."""
        if found := self.requests.get((caller, request_id)):
            image, *others = found
            if others[1] != user:
                return "REQUEST_ID_REUSED"
            if image not in self.there:
                return "IMAGE_DELETED"
            return image if others[0] == content else "REQUEST_ID_REUSED"
        if caller == "ticket" and self.spent == 2:
            return "TICKET_USED_UP"
        if caller != "everybody" and sum(owner == "ana" for owner, _ in self.there.values()) == ROOM:
            return "QUOTA_EXCEEDED"
        return "REQUEST_ID_REUSED" if (caller, request_id) in self.opened else "new"

    @rule(
        caller=st.sampled_from(sorted(CALLERS)),
        request_id=st.sampled_from(["", "a", "b", "c"]),
        content=st.integers(0, 2),
        user=st.sampled_from(["", "Ana"]),
        times=st.integers(1, 3),
    )
    def store_it(self, caller: str, request_id: str, content: int, user: str, times: int) -> None:
        expected = self.outcome(caller, request_id, content, user)
        request = SmallImage(
            data=CONTENTS[content],
            request_id=request_id,
            user=user,
            sha256=hashlib.sha256(CONTENTS[content]).digest(),
        )
        if not request_id:
            times = 1
        found = self.run(self._at_once(request, CALLERS[caller], times))
        if expected != "new":
            assert found == [expected] * times
            return
        (image,) = set(found)
        assert self.run(self.catalog.get_image(image)) is not None, image
        self.there[image] = (CALLERS[caller].owner, content)
        self.spent += caller == "ticket"
        if request_id:
            self.requests[caller, request_id] = (image, content, user)

    async def _at_once(self, request: SmallImage, by: Principal, times: int) -> list[str]:
        calls = (self.small.store(request, by=by) for _ in range(times))
        done: list[tuple[ImageRecord, bool] | BaseException] = await asyncio.gather(
            *calls, return_exceptions=True
        )
        assert sum(isinstance(one, tuple) and one[1] for one in done) <= 1
        return [one[0].id if isinstance(one, tuple) else getattr(one, "reason", repr(one)) for one in done]

    @rule(caller=st.sampled_from(sorted(CALLERS)), request_id=st.sampled_from(["a", "b"]))
    def create_upload(self, caller: str, request_id: str) -> None:
        """An upload with the id of a request; one that is small is told as READY."""
        creating = self.uploads.create(request_id, by=CALLERS[caller], user="", size=SIZE)
        try:
            upload = self.run(creating)
        except errors.RequestIdReused:
            assert self.requests[caller, request_id][2] == "Ana"
        except (errors.QuotaExceeded, errors.TicketUsedUp):
            assert (caller, request_id) not in self.requests
        else:
            stored = self.requests.get((caller, request_id))
            assert (upload.state, upload.image_id) == (("READY", stored[0]) if stored else ("OPEN", None))
            if not stored:
                self.opened.add((caller, request_id))

    @rule(number=st.integers(0, 10))
    def delete(self, number: int) -> None:
        if self.there:
            image_id = sorted(self.there)[number % len(self.there)]
            image = self.run(self.catalog.get_image(image_id))
            self.run(self._delete(image))
            del self.there[image_id]

    async def _delete(self, image: ImageRecord) -> None:
        async with self.store.blobs.removing(image.digest):
            await self.catalog.delete_image(image.id, now=now())

    @rule()
    def forget(self) -> None:
        """Outcomes are forgotten, as a day later; open uploads are not."""
        self.run(self.catalog.forget_uploads(ended_before=now() + 1, limit=100))
        self.requests.clear()

    @rule()
    def restart(self) -> None:
        self.close()
        self.open()

    @invariant()
    def all_that_is_there_is_whole(self) -> None:
        if not hasattr(self, "there"):
            return
        found = self.run(self.catalog.list_images(limit=1000, before=None, user=None, start=None, end=None))
        assert {image.id for image in found} == set(self.there)
        kept = Counter(image.owner for image in found)
        usage = self.run(self.catalog.usage("ana", ticket="ticket"))
        assert (usage.stored_images, usage.ticket_images) == (kept["ana"], self.spent)
        for image in found:
            assert self.run(self._read(image.digest)) == CONTENTS[self.there[image.id][1]]

    async def _read(self, digest: bytes) -> bytes:
        return b"".join([piece async for piece in self.store.blobs.read(digest)])


TestSmall = Machine.TestCase
TestSmall.settings = settings(max_examples=6, stateful_step_count=20, deadline=None)
