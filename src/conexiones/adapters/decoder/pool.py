"""Decoding in worker processes: whatever a C library does there costs one request, and never the server.

Who has a worker next is decided on the event loop (places.py). Each worker belongs to a thread (seat.py).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

from conexiones.adapters.decoder.decoder_worker.sandbox import PARTS
from conexiones.adapters.decoder.measures import Measures
from conexiones.adapters.decoder.places import Place, Places
from conexiones.adapters.decoder.seat import GaveWay, Job, Seat, WorkerLimits
from conexiones.adapters.decoder.worker_process import Reply
from conexiones.errors import ServerDraining
from conexiones.image_formats import ImageFormat
from conexiones.metrics import Metrics
from conexiones.ports.decoder import Turn
from conexiones.ports.records import ColorSpace, Facts, Recipe, Rendered
from conexiones.shares import SERVER, Caller
from conexiones.tracing import span

log = logging.getLogger("conexiones.decoder")

T = TypeVar("T")

SMALL_SECONDS = 2.0
"""Work that was thought small and takes longer is large after all. Where there is no room for that, it is
stopped, and waits once more, as large work. Small work that nobody waits for any more may go on for as long
as this: starting another worker would cost more."""

LOOK_SECONDS = 0.5
"""How often the processor time of small work is looked at."""

MUCH_SECONDS = 0.75
"""Small work that has taken more processor time was no small work."""

WAIT_SECONDS = 120.0
"""How long a call waits for a worker, unless the constructor says otherwise."""


class VipsDecoder:
    """The Decoder of libvips: a pool of `workers` processes.

    `ready` processes start at once, the others when there is work and none of them is free. `decode_pixels`
    limits width × height; `decode_seconds` the wall time of a piece of work, from when a worker has it;
    `decode_memory` the bytes that it may take beyond those of an idle worker. `wait_seconds` limits the wait
    for a worker; None does not. Processes with a higher `nice` (0 to 19, as in nice(1)) leave the processor
    to others. `name` tells pools apart in metrics. Belongs to one event loop.
    """

    def __init__(
        self,
        *,
        workers: int,
        decode_pixels: int,
        decode_seconds: float,
        decode_memory: int,
        wait_seconds: float | None = WAIT_SECONDS,
        ready: int = 1,
        nice: int = 0,
        name: str = "prompt",
        metrics: Metrics | None = None,
    ) -> None:
        self._workers = workers
        self._ready = ready
        self._wait_seconds = wait_seconds
        self._limits = WorkerLimits(
            pixels=decode_pixels, seconds=decode_seconds, memory=decode_memory, nice=nice
        )
        self._places = Places(workers, wait_seconds=wait_seconds)
        self._measures = Measures(metrics or Metrics(), name, self)
        self._seats: list[Seat] = []
        self._free: list[Seat] = []
        self._holding: dict[Seat, Place] = {}
        self._said = not ready  # the pool that starts with the server says what is missing
        self._closed = True

    async def open(self) -> None:
        """Starts the first processes, without waiting until they have loaded their libraries.

        Raises OSError if Python cannot be started.
        """
        self._closed = False
        self._places = Places(self._workers, wait_seconds=self._wait_seconds)
        self._places.waited = self._measures.waited
        self._loop = asyncio.get_running_loop()
        first = [self._add() for _ in range(self._ready)]
        self._free = list(first)
        try:
            await asyncio.gather(*(asyncio.wrap_future(seat.started) for seat in first))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Ends all processes and threads at once. Work that is not done fails with ServerDraining."""
        self._closed = True
        self._places.close()
        for seat in self._seats:
            seat.close()
        await asyncio.gather(*(asyncio.wrap_future(seat.ended) for seat in self._seats))
        for seat in self._seats:
            seat.join()
        self._seats.clear()
        self._free.clear()
        self._holding.clear()

    async def turn(self, *, caller: Caller = SERVER, large: bool = False) -> Turn:
        """See Decoder. Raises ServerDraining if the pool is closed, as the methods of the turn do."""
        if self._closed:
            raise ServerDraining
        with span("decode.wait", large=large):
            place = await self._places.take(caller, large=large)
        return VipsTurn(place, self._perform, self._return)

    @property
    def busy(self) -> int:
        """Workers that have work, or are about to have it."""
        return self._places.held

    @property
    def waiting(self) -> int:
        """Pieces of work that wait for a worker."""
        return self._places.waiting

    @property
    def limit(self) -> int:
        """The most workers."""
        return self._workers

    def pids(self) -> list[int]:
        """The numbers of the processes."""
        return [pid for seat in self._seats if (pid := seat.pid) is not None]

    def _add(self) -> Seat:
        seat = Seat(
            self._limits,
            name=f"decoder-{len(self._seats)}",
            on_start=partial(self._in_loop, self._check_sandbox),
            on_free=partial(self._in_loop, self._give_back),
            on_death=partial(self._in_loop, self._measures.died),
        )
        self._seats.append(seat)
        return seat

    def _check_sandbox(self, holds: list[str]) -> None:
        missing = ", ".join(part for part in PARTS if part not in holds)
        if missing and not self._said:
            self._said = True
            log.warning("the decoders run without a part of their sandbox: %s", missing)

    def _in_loop(self, work: Callable[[T], None], argument: T) -> None:
        """Has the loop do some work. For the threads."""
        with suppress(RuntimeError):  # the loop was closed, before this pool was
            self._loop.call_soon_threadsafe(work, argument)

    def _return(self, place: Place) -> None:
        if not self._closed:
            self._places.give(place)

    def _give_back(self, seat: Seat) -> None:
        if not self._closed:
            self._free.append(seat)
            self._places.give(self._holding.pop(seat))

    async def _perform(self, place: Place, job: Job) -> Reply:
        """The reply to a job. Takes over the place."""
        while True:
            try:
                return await self._try(place, job)
            except GaveWay:
                place = await self._places.take(place.caller, large=True)
                job = job.anew()

    async def _try(self, place: Place, job: Job) -> Reply:
        """Raises GaveWay."""
        if self._closed:
            raise ServerDraining
        # There are as many places as there may be seats.
        seat = self._free.pop() if self._free else self._add()
        self._holding[seat] = place
        job.on_begin = partial(self._in_loop, partial(self._watch, seat, place), job)
        seat.give(job)
        done = asyncio.wrap_future(job.reply)
        done.add_done_callback(partial(self._count, job))
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            seat.abandon(job)
            if place.large:
                seat.stop(job)
            done.add_done_callback(_seen)
            raise

    def _count(self, job: Job, done: asyncio.Future[Reply]) -> None:
        if job.seconds and not done.cancelled():
            stopped = job.stopped or job.abandoned
            self._measures.worked(job.task, job.seconds, done.exception(), stopped=stopped)

    def _watch(self, seat: Seat, place: Place, job: Job) -> None:
        """Has an eye on small work, which a worker has begun."""
        if not place.large:
            self._loop.call_later(SMALL_SECONDS, self._outgrown, seat, place, job)
            self._loop.call_later(LOOK_SECONDS, self._look, seat, place, job, seat.processor_seconds())

    def _look(self, seat: Seat, place: Place, job: Job, before: float) -> None:
        """By the processor time, since on a busy machine everything takes long."""
        if job.reply.done():
            return
        if seat.processor_seconds() - before > MUCH_SECONDS:
            self._places.misjudged(place)
        else:
            self._loop.call_later(LOOK_SECONDS, self._look, seat, place, job, before)

    def _outgrown(self, seat: Seat, place: Place, job: Job) -> None:
        if job.reply.done():
            return
        if job.abandoned:
            seat.stop(job)
        elif not place.large and not self._places.outgrow(place):
            seat.stop(job, again=True)


def _seen(done: asyncio.Future[Reply]) -> None:
    """Looks at the outcome: asyncio logs exceptions that nobody looked at."""
    if not done.cancelled():
        done.exception()


class VipsTurn:
    """A Turn. `perform` does a job at a place, and gives the place back; `give` only gives it back."""

    def __init__(
        self,
        place: Place,
        perform: Callable[[Place, Job], Awaitable[Reply]],
        give: Callable[[Place], None],
    ) -> None:
        self._place: Place | None = place
        self._perform = perform
        self._give = give

    def close(self) -> None:
        """See Turn."""
        place, self._place = self._place, None
        if place is not None:
            self._give(place)

    async def preview(self, path: Path, *, format: ImageFormat, side: int = 256) -> bytes:
        """See Turn."""
        job = Job(task="preview", path=path, format=format, arguments={"side": side})
        return (await self._do(job)).image

    async def describe(self, path: Path, *, format: ImageFormat) -> Facts:
        """See Turn."""
        found = (await self._do(Job(task="describe", path=path, format=format))).found
        return Facts(
            color_space=cast(ColorSpace, found["color_space"]),
            bits_per_sample=int(found["bits_per_sample"]),
            has_alpha=bool(found["has_alpha"]),
            dominant_color=str(found["dominant_color"]),
            blur_hash=str(found["blur_hash"]),
        )

    async def render(self, path: Path, into: Path, *, format: ImageFormat, recipe: Recipe) -> Rendered:
        """See Turn."""
        arguments = asdict(recipe)
        arguments["into"] = arguments.pop("format")
        reply = await self._do(Job(task="render", path=path, format=format, into=into, arguments=arguments))
        return Rendered(
            format=recipe.format,
            width=int(reply.found["width"]),
            height=int(reply.found["height"]),
            frames=int(reply.found["frames"]),
            size=reply.size,
            sha256=reply.sha256,
        )

    async def _do(self, job: Job) -> Reply:
        place, self._place = self._place, None
        if place is None:
            raise RuntimeError("a turn is for one piece of work")
        with span("decode", task=job.task, format=job.format):
            return await self._perform(place, job)
