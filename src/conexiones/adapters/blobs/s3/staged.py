"""Bytes on their way in: in memory while they are few, and then in objects as they come."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from conexiones.adapters.blobs.s3 import rows
from conexiones.adapters.blobs.s3.backend import INLINE, Backend
from conexiones.adapters.blobs.s3.memory import UNIT
from conexiones.adapters.blobs.s3.objects import born, grace_of
from conexiones.adapters.blobs.s3.rows import Extents, NewBlob, Place
from conexiones.adapters.blobs.s3.sha256 import Sha256
from conexiones.adapters.blobs.s3.sums import sums_of
from conexiones.adapters.blobs.s3.view import View
from conexiones.adapters.catalog.postgres.transaction import Together, Transaction
from conexiones.errors import StorageUnavailable
from conexiones.ports.staging import Content
from conexiones.shares import acting_for

SMALL = 256 << 10
"""Bytes up to which a blob goes into a pack."""

OUTSTANDING = 2
"""Objects of an upload that are put while the next one is filled."""

T = TypeVar("T")
R = TypeVar("R", NewBlob, Extents)


class S3Staged:
    """A Staged. A write that failed or was cancelled makes `publish` raise at the latest."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._caller = acting_for()
        self._size = 0
        self._buffer: bytes | bytearray = b""
        self._units = 0  # of memory, for the buffer
        self._places: list[Place] = []  # of what is in objects
        self._putting: deque[asyncio.Task[Place]] = deque()  # objects behind those
        self._handed = 0  # bytes that are in objects, or on their way
        self._sha: Sha256 | None = Sha256()  # None if the bytes have to be read to be hashed
        self._hashed: asyncio.Future[None] | None = None  # done when all before was hashed
        self._publishing = False
        self._published: NewBlob | None = None

    @property
    def size(self) -> int:
        return self._size

    async def write(self, data: bytes | memoryview) -> None:
        self._size += len(data)
        if not self._buffer and len(data) <= self._room():
            self._buffer = bytes(data)  # a whole image in one piece is never copied
            return
        rest = memoryview(data)
        while rest:
            room = self._room() or await self._more_room()
            if isinstance(self._buffer, bytes):
                self._buffer = bytearray(self._buffer)
            self._buffer += rest[:room]
            rest = rest[room:]

    def _room(self) -> int:
        """Bytes that the buffer may still take with the memory that there is."""
        memory = self._backend.memory
        limit = min(self._backend.part, memory.least + self._units * UNIT)
        while limit <= len(self._buffer) < self._backend.part and memory.take(self._caller):
            self._units += 1
            limit = min(self._backend.part, memory.least + self._units * UNIT)
        return max(0, limit - len(self._buffer))

    async def _more_room(self) -> int:
        """The same, having put the buffer into an object."""
        scarce = len(self._buffer) < self._backend.part
        await self._hand_over()
        if scarce and self._putting:
            begun = time.monotonic()
            await self._first_put()
            self._backend.memory.waited(time.monotonic() - begun)
        return self._room()

    async def _hand_over(self) -> None:
        """Has what is gathered put into an object, once fewer than OUTSTANDING are being put."""
        while len(self._putting) >= OUTSTANDING:
            await self._first_put()
        if not self._buffer:
            return
        self._backend.check_open()
        data, self._buffer = self._buffer, b""
        units, self._units = self._units, 0
        before, self._hashed = self._hashed, asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._put(data, self._handed, before, self._hashed))
        task.add_done_callback(partial(self._has_put, units, self._hashed))
        self._putting.append(task)
        self._handed += len(data)

    async def _put(
        self,
        data: bytes | bytearray,
        at: int,
        before: "asyncio.Future[None] | None",
        hashed: "asyncio.Future[None]",
    ) -> Place:
        """Puts an object, and hashes its bytes meanwhile, behind those before."""
        objects = self._backend.objects
        name = objects.name("parts")
        put, found = await asyncio.gather(
            objects.put(name, data), self._hash(data, before, hashed), return_exceptions=True
        )
        if isinstance(put, BaseException):
            raise put
        if isinstance(found, BaseException):
            raise found
        return Place(at, name, 0, len(data), *found)

    def _has_put(self, units: int, hashed: "asyncio.Future[None]", task: "asyncio.Task[Place]") -> None:
        """Is called once, even if the task was cancelled before it began."""
        self._backend.memory.give(self._caller, units)
        hashed.cancel()  # unless it is done
        if not task.cancelled():
            task.exception()  # takes note of an error that nobody may wait for

    async def _hash(
        self,
        data: bytes | bytearray,
        before: "asyncio.Future[None] | None",
        hashed: "asyncio.Future[None]",
    ) -> tuple[bytes, bytes]:
        """The checksums, and the state behind the bytes."""
        if before is not None:
            await asyncio.shield(before)
        found = await self._backend.run(_hashed, self._sha, data)
        hashed.set_result(None)
        return found

    async def _first_put(self) -> None:
        """Waits for the first of the objects that are being put. Raises StorageUnavailable, also the next
        time."""
        place = await _result(self._putting[0])
        if self._putting:  # nobody has discarded it
            self._putting.popleft()
            self._places.append(place)

    async def _stored(self) -> None:
        """Has all that was written in objects. Raises StorageUnavailable."""
        await self._hand_over()
        while self._putting:
            await self._first_put()
        if self._handed != self._size:
            raise StorageUnavailable

    async def inspect(self, judge: Callable[[Content], T], *, slow: bool = False) -> T:
        """As in the port. ValueError if nothing was written."""
        if not self._size:
            raise ValueError("there is nothing to inspect")
        if not self._handed:
            content = bytes(self._buffer)
            if len(content) <= INLINE and not slow:
                return judge(content)
            return await self._backend.run(judge, content)
        while self._putting:
            await self._first_put()
        if self._has_gap():
            raise StorageUnavailable
        view = View(self._backend.objects, list(self._places), bytes(self._buffer))
        return await self._backend.run(judge, view)

    async def publish(self, add: Callable[[bytes], Awaitable[T]]) -> T:
        """As in the port. The blob's row is one step with that of the image."""
        if not self._size:
            raise ValueError("an empty blob cannot be published")
        if self._publishing or self._has_gap():
            raise StorageUnavailable
        self._backend.check_open()
        self._publishing = True
        blob = await self._as_blob()
        locks = [rows.lock_of(blob.digest), *self._locks()]
        added = await self._in_one_step(lambda: add(blob.digest), locks, blob, rows.add_blobs, rows.add_alone)
        self._published = blob
        return added

    async def _in_one_step(
        self,
        write: Callable[[], Awaitable[T]],
        locks: list[str],
        ours: R,
        together: Together[R],
        alone: Callable[[Transaction, R], Awaitable[None]],
    ) -> T:
        """What `write` gives. Our rows are one step with the row that it writes to the catalog, where
        `together` adds those of all members of the transaction. If it writes none, `alone` adds ours."""
        wrote = False

        async def begin(transaction: Transaction) -> None:
            nonlocal wrote
            wrote = True
            ours.begin()
            await self._check(transaction)
            transaction.at_end(together, ours)

        async def by_itself(transaction: Transaction) -> None:
            await self._check(transaction)
            await alone(transaction, ours)

        with self._backend.catalog.joined(begin, locks=locks):
            written = await write()
        if not wrote:
            await self._backend.catalog.write(locks, by_itself)
        return written

    async def _as_blob(self) -> NewBlob:
        if not self._handed and self._size <= SMALL:
            data = bytes(self._buffer)
            digest = await self._backend.sha256(data)
            spot = await self._backend.packs.add(data)
            self._places = [Place(0, *spot, len(data), sums_of(data))]
            self._handed = self._size
            self._free()
        else:
            await self._stored()
            digest = await self._digest()
        return NewBlob(digest, self._size, list(self._places), self._backend.graces.moved)

    async def _digest(self) -> bytes:
        assert self._sha is not None  # noqa: S101 (for the type: only uploads that go on have none)
        return self._sha.digest()

    def _locks(self) -> list[str]:
        """What publishing has to itself besides the digest."""
        return []

    async def _check(self, transaction: Transaction) -> None:
        """Comes first in the transaction with the rows. StorageUnavailable if objects are so old that the
        sweeper may have removed them."""
        now = await transaction.time()
        self._backend.objects.learn_time(now)
        graces = self._backend.graces
        if any(born(name) + grace_of(name, graces) < now for name in self._unnamed()):
            raise StorageUnavailable

    def _unnamed(self) -> list[str]:
        """The objects that no row names yet."""
        return [place.object for place in self._places]

    async def settle(self) -> None:
        """As in the port. RuntimeError if nothing is published."""
        blob, self._published = self._published, None
        if blob is None:
            raise RuntimeError("there is nothing to settle")
        if blob.dead_since is not None:
            locks = [rows.lock_of(blob.digest), *self._locks()]
            await self._backend.catalog.write(locks, rows.settle_alone, blob)
        self._drop()

    async def discard(self) -> None:
        """As in the port. What no row names is left to the sweeper."""
        self._published = None
        self._drop()

    def _has_gap(self) -> bool:
        """Whether a call before this one failed or was cancelled, so that bytes are missing."""
        failed = any(task.done() and (task.cancelled() or task.exception()) for task in self._putting)
        return failed or self._handed + len(self._buffer) != self._size

    def _drop(self) -> None:
        """Lets go of the memory, and of what is being put."""
        putting, self._putting = self._putting, deque()
        for task in putting:
            task.cancel()
        self._free()

    def _free(self) -> None:
        self._buffer = b""
        self._backend.memory.give(self._caller, self._units)
        self._units = 0


def _hashed(sha: Sha256 | None, data: bytes | bytearray) -> tuple[bytes, bytes]:
    """For a thread."""
    if sha is not None:
        sha.update(data)
    return sums_of(data), b"" if sha is None else sha.state


async def _result(task: "asyncio.Task[Place]") -> Place:
    """What a task gives, which goes on if the caller is cancelled."""
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if task.cancelled():
            raise StorageUnavailable from None
        raise
