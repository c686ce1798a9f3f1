"""The images of `upload_many`, taken from their iterable and read in one thread, a bounded number ahead."""

import asyncio
import hashlib
import os
import stat
import threading
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeAlias

import google_crc32c

from conexiones.sdk import resume as resuming
from conexiones.sdk.backoff import Backoff
from conexiones.sdk.failures import SourceChanged
from conexiones.sdk.requests import digest
from conexiones.sdk.resume import Resume, new_id
from conexiones.sdk.small import Whole
from conexiones.sdk.sources import AnySource, NewImage, sendable
from conexiones.sdk.threads import beside

Sources: TypeAlias = "Iterable[AnySource | NewImage] | AsyncIterable[AnySource | NewImage]"

MOST_IMAGES = 1024
"""Images that are taken from the iterable and whose outcome is not taken yet."""
MOST_BYTES = 16 << 20
"""Soft limit on the bytes of small images that are read and whose outcome is not taken yet, and of outcomes
of large images in memory: the image that crosses it is still read."""
SHORT_PATH_BYTES = 200
"""The state file of such a path has its plain name: to look for it takes no time."""
HANDED_OVER = 64
"""Items of an asynchronous iterable that wait for the thread."""
HANDED_OVER_BYTES = 1 << 20
"""Soft limit on the bytes of those that are bytes: the item that crosses it still waits there."""

_END: Any = object()


@dataclass(slots=True, eq=False)
class Job:
    """One image on its way. `whole` is there if it is small, `error` if it cannot be read."""

    index: int
    given: AnySource | NewImage
    item: NewImage
    whole: Whole | None = None
    error: Exception | None = None
    backoff: Backoff | None = None
    """Since when it fails; None if it does not."""
    alone: bool = False
    """A stream failed at it: it gets a call of its own."""


class Line:
    """Jobs that one thread puts in and tasks of the event loop take out."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs: deque[Job] = deque()
        self._news = asyncio.Event()
        self._told = False
        self._ended = False

    def put(self, job: Job) -> None:
        """Safe to call from any thread."""
        self._jobs.append(job)
        if not self._told:
            self._told = True
            self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        self._told = False
        self._news.set()

    def put_back(self, jobs: Iterable[Job]) -> None:
        """Puts jobs before all others, in their order."""
        self._jobs.extendleft(reversed(list(jobs)))
        self._news.set()

    def end(self) -> None:
        """No further job will come, and none will be put back."""
        self._ended = True
        self._news.set()

    async def take(self) -> Job | None:
        """The next job. None after the end."""
        while not self._jobs:
            if self._ended:
                return None
            self._news.clear()
            if not self._jobs:
                await self._news.wait()
        return self._jobs.popleft()


class Reader:
    """Puts the small images, with all their bytes, in one line and all others in another one.

    It stops while too many images, or bytes of them, are under way, and while `large` others are.
    """

    def __init__(
        self, *, small_bytes: Callable[[], int], user: str | None, resume: Resume, large: int
    ) -> None:
        self.small = Line()
        self.large = Line()
        self.taken = 0
        """How many images were taken from the iterable so far."""
        self._small_bytes = small_bytes
        self._user = user
        self._resume = resume
        self._room = threading.Condition()
        self._images = MOST_IMAGES
        self._bytes = MOST_BYTES
        self._large = large
        self._closed = False

    async def run(self, sources: Sources) -> None:
        """Returns when all images were taken. Raises what the iterable raises."""
        if isinstance(sources, AsyncIterable):
            handing = _HandingOver()
            reading = asyncio.ensure_future(beside(self._read, handing))
            try:
                try:
                    await handing.run(sources)
                except Exception:
                    await reading  # what came before is sent all the same
                    raise
                await reading
            finally:
                reading.cancel()
        else:
            await beside(self._read, sources)

    def close(self) -> None:
        """The thread ends before it would read another image."""
        with self._room:
            self._closed = True
            self._room.notify()

    def finished(self, size: int) -> None:
        """A large image has its outcome, whose source has so many bytes in memory."""
        with self._room:
            self._large += 1
            self._bytes -= size
            self._room.notify()

    def outcomes_taken(self, count: int, size: int) -> None:
        """Somebody has the outcomes of so many images, with `size` bytes: those of the small ones, and of
        large ones in memory."""
        with self._room:
            self._images += count
            self._bytes += size
            # It is woken to read several images, not one.
            if self._images >= MOST_IMAGES // 2 and self._bytes >= MOST_BYTES // 2:
                self._room.notify()

    def _read(self, sources: "Iterable[AnySource | NewImage]") -> None:
        for given in sources:
            job = self._job(given)
            if not self._admit(job):
                return
            self.taken += 1
            line = self.small if job.whole or job.error else self.large
            line.put(job)

    def _admit(self, job: Job) -> bool:
        """Waits until there is room for the image. False if nobody wants it any more."""
        with self._room:
            self._images -= 1
            if job.whole:
                self._bytes -= len(job.whole.data)
            elif not job.error:
                self._large -= 1
            while not self._closed and (self._images < 0 or self._bytes < 0 or self._large < 0):
                self._room.wait()
            return not self._closed

    def _job(self, given: AnySource | NewImage) -> Job:
        item = given if isinstance(given, NewImage) else NewImage(source=given)
        if item.user is None and self._user is not None:
            item = NewImage(source=item.source, user=self._user, name=item.name, sha256=item.sha256)
        job = Job(self.taken, given, item)
        try:
            job.whole = self._whole(item)
        except Exception as error:
            job.error = error
        return job

    def _whole(self, item: NewImage) -> Whole | None:
        """The image if it is small, and bytes or a regular file. Raises OSError, SourceChanged."""
        source, name = item.source, item.name or ""
        if isinstance(source, bytes | bytearray | memoryview):
            size = source.nbytes if isinstance(source, memoryview) else len(source)
            data = bytes(source) if size <= self._small_bytes() else None
        elif isinstance(source, str | PathLike):
            path = os.fspath(source)
            if item.name is None:
                name = sendable(Path(path).name)
            data = self._content(path)
        else:
            data = None
        if not data:  # what has no bytes is refused as `upload` refuses it
            return None
        told = digest(item.sha256)
        return Whole(
            data=data,
            crc32c=google_crc32c.value(data),
            sha256=told or hashlib.sha256(data).digest(),
            request_id=new_id(),
            user=item.user or "",
            name=name,
        )

    def _content(self, path: str) -> bytes | None:
        """All bytes of the file at the path; None if it is large, or no regular file, or if its upload was
        begun before. A link may name a descriptor, which is not for here."""
        try:
            found = os.lstat(path)
        except OSError:
            return None  # `upload` says what is wrong
        if not stat.S_ISREG(found.st_mode) or found.st_size > self._small_bytes() or self._begun(path):
            return None
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            before = os.fstat(descriptor)
            data = b""
            while len(data) < before.st_size and (piece := os.read(descriptor, before.st_size - len(data))):
                data = data + piece if data else piece
            after = os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if len(data) != after.st_size or before.st_mtime_ns != after.st_mtime_ns:
            raise SourceChanged(what="it was written to while it was read")
        return data

    def _begun(self, path: str) -> bool:
        if self._resume is True and len(os.fsencode(path)) < SHORT_PATH_BYTES:
            return Path(f"{path}{resuming.SUFFIX}").exists()
        return resuming.begun(path, self._resume)


class _HandingOver:
    """An asynchronous iterable for a thread, which iterates over this object."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._items: SimpleQueue[tuple[Any, int]] = SimpleQueue()
        self._room = asyncio.Event()
        self._waits = False
        # Each is changed by one thread only.
        self._put = 0  # bytes
        self._got = 0

    async def run(self, sources: "AsyncIterable[AnySource | NewImage]") -> None:
        try:
            async for item in sources:
                size = bytes_of(item)
                self._put += size
                self._items.put((item, size))
                del item  # not kept while waiting
                while self._is_full():
                    self._room.clear()
                    self._waits = True
                    if self._is_full():  # else the thread may not have seen that somebody waits
                        await self._room.wait()
                    self._waits = False
        finally:
            self._items.put((_END, 0))

    def __iter__(self) -> "Iterator[AnySource | NewImage]":
        while True:
            item, size = self._items.get()
            if item is _END:
                return
            self._got += size
            if self._waits and not self._is_full(2):  # it is woken to give several items, not one
                self._loop.call_soon_threadsafe(self._room.set)
            yield item
            del item  # not kept while waiting for the next one

    def _is_full(self, part: int = 1) -> bool:
        """Whether that part of what may wait does."""
        waiting = self._items.qsize()
        return waiting >= HANDED_OVER // part or self._put - self._got >= HANDED_OVER_BYTES // part


def bytes_of(item: "AnySource | NewImage") -> int:
    """The bytes of an item that has them in memory."""
    source = item.source if isinstance(item, NewImage) else item
    if isinstance(source, memoryview):
        return source.nbytes
    return len(source) if isinstance(source, bytes | bytearray) else 0
