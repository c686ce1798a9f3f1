"""Uploads on the real store compared with a model of a few lines, over random steps and restarts."""

import asyncio
import hashlib
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import google_crc32c
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from conexiones import errors
from conexiones.adapters.blobs.local.store import LocalStore
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.adapters.decoder.pool import VipsDecoder
from conexiones.domain.images import Images, Limits
from conexiones.domain.uploads import Uploads, UploadWriter
from conexiones.principals import EVERYBODY
from tests.adapters.backends import CatalogBackend
from tests.adapters.blobs.contents import Store
from tests.support.bitmaps import bitmap
from tests.support.lengths import examples

CONTENT = b"".join(bitmap(40, 24))  # 2,934 bytes
LIMITS = Limits(max_image_bytes=10_000, max_pixels=10_000, decode_pixels=10_000, decode_seconds=10)


class Machine(RuleBasedStateMachine):
    """One upload. The model is `state`, `committed` and `written`. The last of `writers` is the newest."""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.opened = False
        self.open()
        self.id = self.run(self.uploads.create("request", by=EVERYBODY, user="", size=None)).id
        self.state, self.committed, self.written = "OPEN", 0, 0
        self.image = None

    def run(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    def open(self) -> None:
        self.catalog, self.store = self.parts(Path(self.folder.name))
        self.run(self.catalog.open())
        self.run(self.store.open())
        decoder = VipsDecoder(workers=1, decode_pixels=1, decode_seconds=1, decode_memory=1)
        images = Images(self.catalog, self.store.staging, self.store.blobs, decoder, LIMITS)
        self.uploads = Uploads(self.catalog, self.store.staging, images)
        self.writers: list[tuple[UploadWriter, AsyncExitStack]] = []
        self.current = False  # whether the newest writer has the upload
        self.opened = True

    def parts(self, root: Path) -> tuple[CatalogBackend, Store]:
        catalog = SqliteCatalog(root / "catalog.sqlite3")
        return catalog, LocalStore(root, catalog, writer=catalog.writer)

    def close(self) -> None:
        for _, stack in self.writers:
            self.run(stack.aclose())
        self.run(self.uploads.close())
        self.run(self.store.close())
        self.run(self.catalog.close())
        self.opened = False

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            if self.opened:
                self.close()
            self.folder.cleanup()
            self.loop.close()

    def expect(self, error: type[errors.ConexionesError], coroutine) -> errors.ConexionesError:
        try:
            self.run(coroutine)
        except error as caught:
            return caught
        raise AssertionError(f"no {error.__name__}")

    @rule()
    def claim(self) -> None:
        stack = AsyncExitStack()
        entering = stack.enter_async_context(self.uploads.writer(self.id, by=EVERYBODY))
        if self.state != "OPEN":
            self.expect(errors.UploadEnded, entering)
            return
        writer = self.run(entering)
        # What the writer before had written is committed now.
        self.committed = self.written
        assert writer.committed == self.committed
        self.writers.append((writer, stack))
        self.current = True

    @precondition(lambda self: self.current and self.state == "OPEN")
    @rule(size=st.integers(0, 1200) | st.just(len(CONTENT)), commit=st.booleans())
    def write(self, size: int, commit: bool) -> None:
        writer, _ = self.writers[-1]
        data = CONTENT[self.written : self.written + size]
        self.written = self.run(writer.write(self.written, data, google_crc32c.value(data)))
        if commit:
            self.committed = self.run(writer.commit())
            assert self.committed == self.written

    @precondition(lambda self: self.current and self.state == "OPEN")
    @rule(off=st.integers(-2000, 2000).filter(bool))
    def write_elsewhere(self, off: int) -> None:
        writer, _ = self.writers[-1]
        error = self.expect(errors.OffsetMismatch, writer.write(self.written + off, b"x", None))
        assert error.facts["expected"] == self.written

    @precondition(lambda self: self.current and self.state == "OPEN")
    @rule()
    def write_damaged(self) -> None:
        writer, _ = self.writers[-1]
        self.expect(errors.ChecksumMismatch, writer.write(self.written, b"x", google_crc32c.value(b"y")))

    @precondition(lambda self: len(self.writers) > self.current)
    @rule(which=st.integers(0, 10))
    def write_fenced(self, which: int) -> None:
        writer, _ = self.writers[which % (len(self.writers) - self.current)]
        self.expect(errors.WriterFenced, writer.write(self.written, b"x", None))
        self.expect(errors.WriterFenced, writer.commit())

    @rule(off=st.sampled_from([0, 0, 0, 1, -1]), right=st.booleans())
    def finish(self, off: int, right: bool) -> None:
        size = self.written + off
        digest = hashlib.sha256(CONTENT[: self.written]).digest() if right else bytes(32)
        finishing = self.uploads.finish(self.id, size=size, sha256=digest, by=EVERYBODY)
        if self.state in {"CANCELLED", "EXPIRED"}:
            self.expect(errors.UploadEnded, finishing)
            return
        if self.state == "OPEN":
            # Finishing takes the upload from its writer.
            self.committed, self.current = self.written, False
            if off:
                self.expect(errors.UploadIncomplete if off > 0 else errors.SizeExceeded, finishing)
                return
            self.state = "READY" if right and self.written == len(CONTENT) else "REJECTED"
        upload = self.run(finishing)
        assert upload.state == self.state
        image = self.run(self.uploads.image(upload))
        assert (image is not None) == (self.state == "READY")
        if image:
            assert image.digest == hashlib.sha256(CONTENT).digest()
            assert self.image in {None, image.id}
            self.image = image.id

    @rule()
    def cancel(self) -> None:
        cancelling = self.uploads.cancel(self.id, by=EVERYBODY)
        if self.state in {"OPEN", "CANCELLED"}:
            assert self.run(cancelling).state == "CANCELLED"
            self.state = "CANCELLED"
        else:
            self.expect(errors.UploadEnded, cancelling)

    @rule()
    def restart(self) -> None:
        self.close()
        self.open()
        self.written = self.committed

    @invariant()
    def the_row_is_the_model(self) -> None:
        if hasattr(self, "uploads"):
            upload = self.run(self.uploads.get(self.id, by=EVERYBODY))
            assert (upload.state, upload.committed_size) == (self.state, self.committed)


TestUploads = Machine.TestCase
TestUploads.settings = settings(max_examples=examples(4, long=8), stateful_step_count=25)
