"""Moves a house: all that servers keep, from a data folder to PostgreSQL and an object store, or back.

Bytes come first. Each content is compared with its SHA-256 when it is read, and with what was read when it is
written. Then the bytes of uploads under way, and all rows at once, as the last step: ids, names, owners,
requests, events with their numbers, credentials. Until then no server starts over the new house, and nothing
in the old one is changed, before or after.

A run that was killed is gone on with by another one: contents that are there are not moved again, and all
else is taken anew, as it is by then.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from conexiones.adapters.blobs.local.store import SMALL
from conexiones.adapters.catalog.sqlite.catalog_file import Contents
from conexiones.errors import BlobCorrupt
from conexiones.upkeep.house import NewHouse, OldHouse
from conexiones.upkeep.problem import Problem
from conexiones.upkeep.steps import Progress, silent

GROUP = 4 << 20
"""Bytes of small contents that are moved together."""

GROUPS = 4
"""Groups under way at a time."""

KEEP_SECONDS = 20.0
"""Time between two questions whether a house is still there."""

MOST_DAMAGED = 1000
"""Damaged contents with which a run ends: something else is wrong, such as the bucket."""

NAMED = 5
"""Images of a damaged content that are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Damaged:
    """What is not what was stored: a content, with the images that have it, or an upload under way."""

    what: str
    images: list[str] = field(default_factory=list)
    upload: str = ""


@dataclass(slots=True, kw_only=True)
class Moved:
    """What a run has done, or a dry run would do."""

    images: int = 0
    contents: int = 0
    bytes: int = 0
    new_contents: int = 0
    new_bytes: int = 0
    uploads: int = 0
    damaged: list[Damaged] = field(default_factory=list)
    complete: bool = False


async def migrate(
    old: OldHouse,
    new: NewHouse,
    *,
    with_damaged: bool = False,
    dry_run: bool = False,
    progress: Progress = silent,
) -> Moved:
    """Moves all from one to the other. If contents are damaged, the new house is not completed, unless
    `with_damaged`: then their images are there without bytes, as they cannot be read in the old house either.

    Raises Problem, and what the adapters raise. Then the new house is not complete.
    """
    try:
        await old.open()
        try:
            await new.open(old.origin)
            run = _Run(old, new, progress)
            if dry_run:
                await run.count()
            else:
                await run.move(with_damaged=with_damaged)
            return run.moved
        finally:
            await new.close()
    finally:
        await old.close()


class _Run:
    def __init__(self, old: OldHouse, new: NewHouse, progress: Progress) -> None:
        self._old = old
        self._new = new
        self._progress = progress
        self.moved = Moved()
        self._lacking: list[bytes] = []
        self._done = 0  # bytes

    async def count(self) -> None:
        moved = self.moved
        moved.images, moved.contents, moved.bytes = await self._old.totals()
        moved.uploads = len(await self._old.uploads())

    async def move(self, *, with_damaged: bool) -> None:
        await self.count()
        await self._new.begin()
        turns, ended = asyncio.Semaphore(GROUPS), asyncio.Event()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep(ended))
                async for page in self._old.contents():
                    await self._move_page(page, tasks, turns)
                await self._new.forget_uploads()
                await self._move_uploads()
                ended.set()
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        if self.moved.damaged and not with_damaged:
            return
        about = await self._old.about()
        added = 0

        def on_rows(count: int) -> None:
            nonlocal added
            added += count
            self._progress("rows", added, about.rows)

        self._progress("rows", 0, about.rows)
        await self._new.complete(self._old, about, self._lacking, on_rows)
        self.moved.complete = True

    async def _keep(self, ended: asyncio.Event) -> None:
        """Asks both houses now and then, also while a large content takes hours: a connection that is idle
        may be cut on its way, and whoever has lost a house should not go on."""
        while not ended.is_set():
            await self._new.check()
            await self._old.check()
            with suppress(TimeoutError):
                async with asyncio.timeout(KEEP_SECONDS):
                    await ended.wait()

    async def _move_page(
        self, page: Sequence[Contents], tasks: asyncio.TaskGroup, turns: asyncio.Semaphore
    ) -> None:
        missing = await self._new.missing(page)
        self._tell(sum(one.size for one in page) - sum(one.size for one in missing))
        group: list[Contents] = []
        size = 0
        for content in missing:
            if content.size > SMALL:
                await self._move_large(content)
                continue
            group.append(content)
            size += content.size
            if size >= GROUP:
                await turns.acquire()
                tasks.create_task(self._move_group(group, turns))
                group, size = [], 0
        if group:
            await turns.acquire()
            tasks.create_task(self._move_group(group, turns))

    async def _move_group(self, group: Sequence[Contents], turns: asyncio.Semaphore) -> None:
        try:
            whole = []
            for content, data in await self._old.small(group):
                if data is None or len(data) != content.size:
                    await self._is_damaged(content)
                else:
                    whole.append((content.digest, data))
            if whole:
                await self._new.add_small(whole)
            self._count(len(whole), sum(len(data) for _, data in whole))
            self._tell(sum(content.size for content in group))
        finally:
            turns.release()

    async def _move_large(self, content: Contents) -> None:
        before = self._done

        async def pieces() -> AsyncIterator[bytes]:
            async for piece in self._old.large(content):
                yield piece
                self._tell(len(piece))

        try:
            await self._new.add_large(content, pieces())
        except BlobCorrupt:
            await self._is_damaged(content)
        else:
            self._count(1, content.size)
        self._tell(max(0, before + content.size - self._done))

    async def _move_uploads(self) -> None:
        uploads = await self._old.uploads()
        for at, upload in enumerate(uploads):
            self._progress("uploads", at, len(uploads))
            try:
                await self._new.add_upload(upload, self._old.upload(upload))
            except BlobCorrupt:
                what = f"what was received of the upload {upload.id}"
                self._add_damaged(Damaged(what=what, upload=upload.id))

    async def _is_damaged(self, content: Contents) -> None:
        self._lacking.append(content.digest)
        images = await self._old.images_of(content, NAMED)
        self._add_damaged(Damaged(what=await self._old.where(content), images=images))

    def _add_damaged(self, damaged: Damaged) -> None:
        self.moved.damaged.append(damaged)
        if len(self.moved.damaged) >= MOST_DAMAGED:
            raise Problem(
                f"{MOST_DAMAGED} contents of {self._old.name} are damaged or missing, such as"
                f" {damaged.what}: is all of it there?"
            )

    def _count(self, contents: int, size: int) -> None:
        self.moved.new_contents += contents
        self.moved.new_bytes += size

    def _tell(self, size: int) -> None:
        self._done += size
        self._progress("images", self._done, self.moved.bytes)
