"""What the server's adapters call to have small blobs and rows made durable by the writing process."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from conexiones.adapters.system.durability import commits, fsyncs
from conexiones.adapters.system.threads import Outcome
from conexiones.adapters.writer.group_commit import MAX_JOBS, BlobAppender, Database
from conexiones.adapters.writer.line import Line
from conexiones.adapters.writer.messages import Attach, Given, Order, Sent, Stored, Told, Took, raised
from conexiones.adapters.writer.process import NO_DATABASE, DatabaseToOpen, WriterProcess
from conexiones.adapters.writer.ring import Ring
from conexiones.errors import StorageUnavailable
from conexiones.metrics import NUMBERS, Metrics
from conexiones.whole import to_end

RESTART_SECONDS = 1.0
"""After a process could not be started, another attempt is made so much later."""

FLUSH_ITEMS = 16
"""What waits is sent at the end of a turn of the loop, or as soon as it is so many items: then the process
has something to do while the loop goes on."""

AHEAD = MAX_JOBS
"""Items that are with the process at most, which makes them durable in the order in which it gets them. The
others wait in a line in which clients take turns: so an item of one client waits for so many of another at
most, however many that client has asked for."""

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Carried:
    """The bytes of a blob that a `commit` may take along. `durable` is set when one did so with success."""

    data: bytes
    holders: int = 0
    durable: bool = False


@dataclass(slots=True)
class _Item:
    outcome: Outcome[Any]
    work: tuple[str, str, Given] | None = None
    order: Order | Attach | None = None
    digest: bytes = b""
    data: bytes = b""  # until it is in the shared memory
    size: int = 0
    carried: Carried | None = None


class WriterClient:
    """Belongs to one event loop. A call that is cancelled is done whole, and ends when that is decided.

    Before `start`, after `stop`, and while its process is replaced by another one, every call raises
    StorageUnavailable. What was on its way when a process ended is durable or not: whoever asks the catalog
    afterwards finds out.

    Who the calling task acts for (conexiones.shares) takes turns with others.

    A blob can travel with the row that needs it: between `carry` and `drop`, a `commit` that names its digest
    takes the bytes along, and both become durable in one step, the bytes first.

    Callbacks, to be set before `start`; they are called on the event loop:
    - `on_commit` with the sequence of the newest event, whenever something was committed;
    - `on_stored` with the blobs that are durable now, before their callers hear of it;
    - `on_replaced` when another process has taken the place of one that ended.
    """

    def __init__(
        self,
        database: Callable[[str], Database] | None = None,
        path: Path | None = None,
        *,
        metrics: Metrics | None = None,
    ) -> None:
        """`database` is the class of the database, which the process makes with `path`; None for no rows."""
        self._database = NO_DATABASE
        if database is not None:
            self._database = DatabaseToOpen(database.__module__, database.__name__, str(path))
        self._taking = False
        self._up = False
        self._fresh: deque[_Item] = deque()  # to be sent at the end of this turn of the loop
        self._waiting: Line[_Item] = Line()  # to be sent when there is room
        self._came = 0  # items that came since something was sent
        self._flushing = False
        self._sent: deque[_Item] = deque()  # what the process has to answer, in order
        self._heard = 0.0  # when it last answered, or got something to do while it had nothing
        self._carried: dict[bytes, Carried] = {}  # by digest
        self._closing = asyncio.Event()
        self.on_commit: Callable[[int], None] = lambda newest: None
        self.on_stored: Callable[[list[Stored]], None] = lambda stored: None
        self.on_replaced: Callable[[], None] = lambda: None
        self._measure(metrics or Metrics(), has_rows=database is not None)

    @property
    def pid(self) -> int | None:
        """The number of the process, while there is one."""
        return self._process.pid if self._up else None

    async def start(self) -> None:
        """Starts the process, which opens the database. Raises what that raises."""
        self._loop = asyncio.get_running_loop()
        self._closing.clear()
        self._ring = Ring()
        try:
            await self._start()
        except BaseException as error:
            self._ring.close()
            if isinstance(error, OSError | EOFError):
                raise StorageUnavailable from error
            raise
        self._taking = True
        self._living = asyncio.create_task(self._live())

    async def stop(self) -> None:
        """Finishes what waits, and ends the process."""
        if self._taking:
            self._taking = False
            await to_end(asyncio.ensure_future(self._stop()))

    def append(self, digest: bytes, data: bytes) -> Outcome[None]:
        """Makes a blob durable."""
        return self._take(_Item(Outcome(loop=self._loop), digest=digest, data=data, size=len(data)))

    def commit(self, function: Callable[..., T], *given: object, digest: bytes | None = None) -> Outcome[T]:
        """Calls a function of a module in the process, with the database's connection and what is `given`,
        commits what it did, and gives its result. If the blob of that digest is carried, it becomes durable
        before; if it does not, the function is not called."""
        work = (function.__module__, function.__name__, given)
        carried = self._carried.get(digest) if digest else None
        if digest is None or carried is None:
            return self._take(_Item(Outcome(loop=self._loop), work))
        data = carried.data
        return self._take(_Item(Outcome(loop=self._loop), work, None, digest, data, len(data), carried))

    def carry(self, digest: bytes, data: bytes) -> Carried:
        """Until `drop`, a `commit` with that digest takes the bytes along."""
        carried = self._carried.get(digest)
        if carried is None:
            carried = self._carried[digest] = Carried(data)
        carried.holders += 1
        return carried

    def drop(self, digest: bytes) -> None:
        """Is called once for each `carry`."""
        carried = self._carried[digest]
        carried.holders -= 1
        if not carried.holders:
            del self._carried[digest]

    def attach(
        self,
        appender: Callable[Concatenate[memoryview, P], BlobAppender],
        *given: P.args,
        **_: P.kwargs,
    ) -> Outcome[None]:
        """Has the process make an appender, which takes all blobs from now on, in place of the one before."""
        kind = (appender.__module__, appender.__name__)
        return self._take(_Item(Outcome(loop=self._loop), order=Attach(kind, given)))

    def detach(self) -> Outcome[None]:
        """Has the process close its appender: blobs are refused from now on."""
        return self._take(_Item(Outcome(loop=self._loop), order=Attach(None, ())))

    def order(self, method: Callable[Concatenate[Any, P], T], *given: P.args, **_: P.kwargs) -> Outcome[T]:
        """Has the process call a method of its appender, behind all whose outcome is known by now and all
        that was ordered before, and ahead of what waits."""
        return self._take(_Item(Outcome(loop=self._loop), order=Order(method.__name__, given)))

    def _take(self, item: _Item) -> Outcome[Any]:
        if not self._taking or not self._up:
            raise StorageUnavailable
        if item.order is None:
            # While there is room for all, nobody waits, and there are no turns to be kept.
            if self._waiting or len(self._sent) + len(self._fresh) >= AHEAD:
                self._waiting.push(item)
            else:
                self._fresh.append(item)
        elif isinstance(item.order, Order):
            self._waiting.push_ahead(item)
        else:
            self._waiting.push_behind(item)
        self._came += 1
        if self._came >= FLUSH_ITEMS:
            self._flush()
        elif not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush_rest)
        return item.outcome

    def _flush_rest(self) -> None:
        self._flushing = False
        self._flush()

    def _flush(self) -> None:
        """Sends together what waits, as far as there is room for it."""
        items: list[Sent | Order | Attach] = []
        self._came = 0
        while self._fresh and self._up and self._put(self._fresh[0], items):
            self._fresh.popleft()
        while self._waiting and not self._fresh and self._up and len(self._sent) < AHEAD:
            if not self._put(self._waiting.first(), items):
                break
            self._waiting.pop()
        if items:
            if len(self._sent) == len(items):
                self._heard = time.monotonic()
            self._process.send(items)

    def _put(self, item: _Item, items: list[Sent | Order | Attach]) -> bool:
        """Adds an item to those that are sent now, unless the shared memory has no room for its blob."""
        blob = None
        if item.size:
            start = self._ring.put(item.data)
            if start is None:
                return False
            blob, item.data = (item.digest, start, item.size), b""
        items.append(item.order or (item.work, blob))
        self._sent.append(item)
        return True

    def _resolve(self, newest: int, answers: list[Told], took: Took) -> None:
        """Tells all callers of a group what became of theirs."""
        self._heard = time.monotonic()
        self._count(len(answers), took)
        items = [self._sent.popleft() for _ in answers]
        stored: list[Stored] = []
        for item, (_, _, _, position) in zip(items, answers, strict=True):
            if item.size:
                self._ring.release()
            if position:
                stored.append((position, item.size, item.digest))
        if stored:
            self._appended.value += sum(size for _, size, _ in stored)
            self.on_stored(stored)
        for item, (result, error, trace, _) in zip(items, answers, strict=True):
            if item.carried is not None and error is None:
                item.carried.durable = True
            item.outcome.decide(result, error and raised(error, trace))
        self.on_commit(newest)
        if self._waiting or self._fresh:
            self._flush()

    async def _start(self) -> None:
        self._process = WriterProcess(self._resolve)
        self.on_commit(await self._process.start(self._database, self._ring.descriptor))
        self._up = True

    async def _live(self) -> None:
        """Starts another process when one has ended."""
        while True:
            await self._process.ended.wait()
            self._up = False
            if not self._closing.is_set():
                log.error("The process that writes to disk has ended, and is started again")
            await self._process.stop()
            for item in self._sent:
                if item.size:
                    self._ring.release()
            # What of it was durable is in the files: whoever asks from now on finds it.
            lost = [*self._sent, *self._fresh, *self._waiting.clear()]
            self._sent.clear()
            self._fresh.clear()
            for item in lost:
                item.outcome.decide(None, StorageUnavailable())
            if self._closing.is_set():
                return
            await self._start_again()
            if not self._closing.is_set():
                self._restarts.value += 1
                self.on_replaced()
            elif self._up:
                self._process.finish()

    async def _start_again(self) -> None:
        """Returns when there is a process, or the client is closed."""
        while not self._up and not self._closing.is_set():
            try:
                await self._start()
            except Exception as error:
                log.error("The process that writes to disk cannot be started: %r", error)
                with suppress(TimeoutError):
                    async with asyncio.timeout(RESTART_SECONDS):
                        await self._closing.wait()

    async def _stop(self) -> None:
        self._flush()
        if waiting := [*self._fresh, *self._waiting]:
            await asyncio.wait([item.outcome for item in waiting])
        self._closing.set()
        if self._up:
            self._process.finish()
        await self._living
        self._ring.close()

    def _measure(self, metrics: Metrics, *, has_rows: bool) -> None:
        self._groups = metrics.histogram(
            "conexiones.writer.group.size",
            "{job}",
            "Jobs that the writing process made durable together.",
            bounds=NUMBERS,
        )
        self._appends = fsyncs(metrics).of("segment")
        self._commits = commits(metrics) if has_rows else None
        self._appended = metrics.counter(
            "conexiones.segments.appended", "By", "Bytes of small blobs that were appended to segments."
        )
        self._restarts = metrics.counter(
            "conexiones.writer.restarts",
            "{restart}",
            "Writing processes that took the place of one that ended.",
        )
        metrics.observe(
            "conexiones.writer.processes", "{process}", "Writing processes: 1, or 0.", lambda: int(self._up)
        )
        metrics.observe(
            "conexiones.writer.jobs",
            "{job}",
            "Jobs for the writing process: those that wait, and those that it has.",
            lambda: {("waiting",): len(self._fresh) + len(self._waiting), ("sent",): len(self._sent)},
            ("state",),
        )
        metrics.observe(
            "conexiones.writer.silence",
            "s",
            "How long the writing process has not answered while it has jobs: a disk that hangs shows here.",
            lambda: time.monotonic() - self._heard if self._sent else 0,
        )

    def _count(self, jobs: int, took: Took) -> None:
        appending, committing = took
        if appending:
            self._appends.record(appending)
        if committing and self._commits is not None:
            self._commits.record(committing)
        if appending or committing:
            self._groups.record(jobs)
