"""What the server makes durable in small pieces, by way of a process (program.py): in threads, writing
would wait for the interpreter of the event loop, and it for theirs."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conexiones.adapters.blobs.local.segment_index import Place, Record
from conexiones.adapters.system.threads import Outcome, to_end
from conexiones.adapters.writer.process import Told, WriterProcess, told
from conexiones.adapters.writer.program import Order, Sent
from conexiones.adapters.writer.ring import Ring
from conexiones.errors import StorageUnavailable

AGAIN = 1.0
"""Seconds until a process that cannot be started is started again."""

TOGETHER = 16
"""What waits is sent at the end of a turn of the loop, or earlier when it is so much: then the process has
something to do while the loop goes on."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Item:
    outcome: Outcome[Any]
    work: tuple[str, str, tuple[Any, ...]] | None = None
    order: Order | None = None
    digest: bytes = b""
    data: bytes = b""  # until it is in the shared memory
    size: int = 0


class Writer:
    """Belongs to one event loop. One that is awaited and cancelled is decided first, and done whole.

    Before `start`, after `stop`, and while its process is replaced by another one, everything raises
    StorageUnavailable: what was on its way then is durable or not, and who asks afterwards finds out.

    To be set before: `committed` is called with the sequence of the newest event, `stored` with the records
    of blobs that are durable now, before their callers hear of it, and `replaced` when another process has
    taken the place of one that ended.
    """

    def __init__(self, catalog: Path | None = None) -> None:
        self._catalog = catalog
        self._taking = False
        self._up = False
        self._waiting: deque[_Item] = deque()  # to be sent at the end of this turn of the loop, or with room
        self._flushing = False
        self._sent: deque[_Item] = deque()  # what the process has to answer, in order
        self._closing = asyncio.Event()
        self.committed: Callable[[int], None] = lambda newest: None
        self.stored: Callable[[list[Record]], None] = lambda records: None
        self.replaced: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Starts the process, which opens the catalog. ValueError if a newer version wrote that."""
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

    def write(
        self, function: Callable[..., Any] | None, *given: Any, digest: bytes = b"", data: bytes = b""
    ) -> Outcome[Any]:
        """Makes a blob durable, if there is one, and then calls the function of a module, if there is one,
        with the connection to the catalog and what is `given`; gives its result."""
        work = (function.__module__, function.__name__, given) if function else None
        return self._take(
            _Item(Outcome(loop=self._loop), work=work, digest=digest, data=data, size=len(data))
        )

    def order(self, name: str, *given: Any) -> Outcome[Any]:
        """Has the Appender do something, behind all that was written before."""
        return self._take(_Item(Outcome(loop=self._loop), order=Order(name, given)))

    def _take(self, item: _Item) -> Outcome[Any]:
        if not self._taking or not self._up:
            raise StorageUnavailable
        self._waiting.append(item)
        if len(self._waiting) >= TOGETHER:
            self._flush()
        elif not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush_rest)
        return item.outcome

    def _flush_rest(self) -> None:
        self._flushing = False
        self._flush()

    def _flush(self) -> None:
        """Sends together what waits, as far as there is room for the blobs."""
        items: list[Sent | Order] = []
        while self._waiting and self._up:
            item = self._waiting[0]
            blob = None
            if item.size:
                start = self._ring.put(item.data)
                if start is None:
                    break
                blob, item.data = (item.digest, start, item.size), b""
            items.append(item.order or (item.work, blob))
            self._sent.append(self._waiting.popleft())
        if items:
            self._process.send(items)

    def _resolve(self, newest: int, answers: list[Told]) -> None:
        """Tells all callers of a group what became of theirs."""
        items = [self._sent.popleft() for _ in answers]
        records = []
        for item, (_, _, _, place) in zip(items, answers, strict=True):
            if item.size:
                self._ring.let_go()
            if place:
                records.append(Record(Place(*place), item.size, item.digest))
        if records:
            self.stored(records)
        for item, (result, error, trace, _) in zip(items, answers, strict=True):
            item.outcome.decide(result, error and told(error, trace))
        self.committed(newest)
        if self._waiting:
            self._flush()

    async def _start(self) -> None:
        self._process = WriterProcess(self._resolve)
        self.committed(await self._process.start(self._catalog, self._ring.descriptor))
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
                    self._ring.let_go()
            # What of it was durable is in the files: whoever asks from now on finds it.
            lost = [*self._sent, *self._waiting]
            self._sent.clear()
            self._waiting.clear()
            for item in lost:
                item.outcome.decide(None, StorageUnavailable())
            if self._closing.is_set():
                return
            await self._start_again()
            if not self._closing.is_set():
                self.replaced()
            elif self._up:
                self._process.finish()

    async def _start_again(self) -> None:
        """Until there is one, or it is closed."""
        while not self._up and not self._closing.is_set():
            try:
                await self._start()
            except Exception as error:
                log.error("The process that writes to disk cannot be started: %r", error)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), AGAIN)

    async def _stop(self) -> None:
        self._flush()
        if self._waiting:
            await asyncio.wait([item.outcome for item in self._waiting])
        self._closing.set()
        if self._up:
            self._process.finish()
        await self._living
        self._ring.close()
