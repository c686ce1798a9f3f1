"""Decoding in worker processes: whatever a C library does there costs one request, and never the server.

A thread owns each process and talks to it over a socket pair. It gives it one request at a time, kills it
when the time is over, and starts another one where it died, without any effect on the other workers. It is a
thread and not the event loop, because the kernel ends a worker together with the thread that started it.
"""

import asyncio
import contextlib
import logging
import os
import queue
import re
import threading
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Literal, cast, get_args

from conexiones.adapters.decoder.decoder_worker import Refusal
from conexiones.adapters.decoder.worker_process import CannotWrite, NeverTaken, Reply, WorkerProcess
from conexiones.adapters.system.disk import storage_error
from conexiones.errors import NoPreview, PreviewProblem, ServerDraining
from conexiones.image_formats import ImageFormat
from conexiones.ports.records import ColorSpace, Facts, Recipe, Rendered

log = logging.getLogger("conexiones.decoder")

REFUSALS: Final[tuple[Refusal, ...]] = get_args(Refusal)
_PROBLEMS: Final[dict[str, PreviewProblem]] = {refusal: refusal for refusal in REFUSALS}

# What GLib and the C++ runtime print where an allocation fails, before they abort.
OUT_OF_MEMORY = re.compile(rb"failed to allocate|bad_alloc|MemoryError|out of memory", re.IGNORECASE)


@dataclass(slots=True, kw_only=True)
class _Job:
    """A request that waits for a worker or is with one. `abandoned`: nobody waits for its reply any more."""

    task: Literal["preview", "describe", "render"]
    path: Path
    format: ImageFormat
    into: Path | None = None  # the file for the image that the task makes; without one it comes into memory
    arguments: dict[str, str | int] = field(default_factory=dict)
    reply: Future[Reply] = field(default_factory=Future)
    worker: WorkerProcess | None = None
    abandoned: bool = False


class VipsDecoder:
    """The Decoder of libvips: a pool of `workers` processes. Requests wait for one in the order they came.

    `ready` processes start at once, the others when there is a request and none of them is idle.
    `decode_pixels` limits width × height; `decode_seconds` the wall time of a request, from when a worker has
    it; `decode_memory` the bytes that it may take beyond those of an idle worker. Processes with a higher
    `nice` (0 to 19, as in nice(1)) leave the processor to others. Belongs to one event loop.
    """

    def __init__(
        self,
        *,
        workers: int,
        decode_pixels: int,
        decode_seconds: float,
        decode_memory: int,
        ready: int = 1,
        nice: int = 0,
    ) -> None:
        self._workers = workers
        self._ready = ready
        self._nice = nice
        self._pixels = decode_pixels
        self._seconds = decode_seconds
        self._memory = decode_memory
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[tuple[threading.Thread, Future[None]]] = []  # done when the thread has ended
        self._pending = 0  # the number of requests that wait or run
        self._lock = threading.Lock()  # guards `_pending`, `_live`, who has which job, and closing the pool
        self._live: set[WorkerProcess] = set()
        self._closed = True

    async def open(self) -> None:
        """Starts the first processes, without waiting until they have loaded their libraries.

        Raises OSError if Python cannot be started.
        """
        self._closed = False
        self._jobs = queue.SimpleQueue()  # `close` may have left orders to end in the old one
        all_started = [self._add_thread() for _ in range(self._ready)]
        try:
            await asyncio.gather(*map(asyncio.wrap_future, all_started))
        except BaseException:
            await self.close()
            raise

    def _add_thread(self) -> Future[None]:
        """Adds a thread. The future is done when its worker was started, and has the error if that failed."""
        started: Future[None] = Future()
        ended: Future[None] = Future()
        for future in (started, ended):
            # A running future is not cancelled together with the task that waits for it.
            future.set_running_or_notify_cancel()
        # A daemon thread lets a server exit that failed without closing the pool.
        thread = threading.Thread(
            target=self._serve, args=(started, ended), name=f"decoder-{len(self._threads)}", daemon=True
        )
        self._threads.append((thread, ended))
        thread.start()
        return started

    async def close(self) -> None:
        """Ends all processes and threads at once. Requests that are not done fail with ServerDraining."""
        with self._lock:
            self._closed = True
            live = list(self._live)
        with contextlib.suppress(queue.Empty):
            while True:
                job = self._jobs.get_nowait()
                if job and job.reply.set_running_or_notify_cancel():
                    job.reply.set_exception(ServerDraining())
        for worker in live:
            worker.kill()
        for _ in self._threads:
            self._jobs.put(None)
        await asyncio.gather(*(asyncio.wrap_future(ended) for _, ended in self._threads))
        for thread, _ in self._threads:
            thread.join()  # returns at once
        self._threads.clear()

    async def preview(self, path: Path, *, format: ImageFormat, side: int = 256) -> bytes:
        """See Decoder. Like the others it raises ServerDraining if the pool is closed before it is done.

        A request that is cancelled while it waits for a worker is never run. With one that a worker has, the
        worker is ended: what nobody waits for takes no time from others.
        """
        return (
            await self._do(_Job(task="preview", path=path, format=format, arguments={"side": side}))
        ).image

    async def describe(self, path: Path, *, format: ImageFormat) -> Facts:
        found = (await self._do(_Job(task="describe", path=path, format=format))).found
        return Facts(
            color_space=cast(ColorSpace, found["color_space"]),
            bits_per_sample=int(found["bits_per_sample"]),
            has_alpha=bool(found["has_alpha"]),
            dominant_color=str(found["dominant_color"]),
            blur_hash=str(found["blur_hash"]),
        )

    async def render(self, path: Path, into: Path, *, format: ImageFormat, recipe: Recipe) -> Rendered:
        """See Decoder."""
        arguments = asdict(recipe)
        arguments["into"] = arguments.pop("format")
        job = _Job(task="render", path=path, format=format, into=into, arguments=arguments)
        reply = await self._do(job)
        return Rendered(
            format=recipe.format,
            width=int(reply.found["width"]),
            height=int(reply.found["height"]),
            frames=int(reply.found["frames"]),
            size=reply.size,
            sha256=reply.sha256,
        )

    async def _do(self, job: _Job) -> Reply:
        if self._closed:
            raise ServerDraining
        with self._lock:
            self._pending += 1
            busy = self._pending > len(self._threads)
        job.reply.add_done_callback(self._answered)
        self._jobs.put(job)
        if busy and len(self._threads) < self._workers:
            self._add_thread()
        done = asyncio.wrap_future(job.reply)
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            if not job.reply.cancel():
                self._abandon(job)
                # The caller may remove the file only after the thread has stopped writing to it.
                await asyncio.wait((done,))
                done.exception()  # marks it as retrieved, or asyncio would log it
            raise

    def _abandon(self, job: _Job) -> None:
        with self._lock:
            job.abandoned = True
            if job.worker:
                job.worker.kill()

    def _answered(self, _: Future[Reply]) -> None:
        with self._lock:
            self._pending -= 1

    def _serve(self, started: Future[None], ended: Future[None]) -> None:
        """What a thread does: it owns one worker after another, and gives them requests."""
        worker: WorkerProcess | None = None
        try:
            try:
                worker = self._start()
            except Exception as error:
                started.set_exception(error)  # `open` then closes the pool; `_do` ignores it
            else:
                started.set_result(None)
            while (job := self._jobs.get()) is not None:
                worker = worker or self._living(None)
                if not job.reply.set_running_or_notify_cancel():
                    continue
                for final in (False, True):
                    try:
                        job.reply.set_result(self._run(job, worker))
                    except NeverTaken as error:
                        # It died idle, which is not the fault of this request: another worker may have it.
                        worker = self._living(worker)
                        if not final:
                            continue
                        job.reply.set_exception(self._failure(job, "CRASH", repr(error)))
                    except BaseException as error:
                        job.reply.set_exception(error)
                    break
                # Started now, so that the next request need not wait until it has loaded its libraries.
                worker = self._living(worker)
        finally:
            if worker:
                self._end(worker)
            ended.set_result(None)

    def _run(self, job: _Job, worker: WorkerProcess | None) -> Reply:
        """The reply of the worker, which is ended if it is of no more use.

        Raises NoPreview and ServerDraining.
        """
        with self._lock:
            job.worker = worker
        if worker is None:
            raise self._failure(job, "CRASH", "no worker could be started")
        if job.abandoned:
            raise self._failure(job, "CRASH", "nobody waits for it")
        request = job.arguments | {
            "task": job.task,
            "path": os.fspath(job.path),
            "format": job.format,
            "pixels": self._pixels,
        }
        try:
            try:
                reply = worker.ask(request, job.into, self._seconds)
            finally:
                with self._lock:
                    job.worker = None  # from now on it may have another job
            refusal, detail = str(reply.found["cause"]), str(reply.found["detail"])
        except NeverTaken:
            self._end(worker)
            raise
        except CannotWrite as error:
            self._end(worker)  # the rest of the reply is of no use
            raise storage_error(error.__cause__) if isinstance(error.__cause__, OSError) else error from error
        except TimeoutError:
            self._end(worker)
            raise self._failure(job, "SECONDS", f"over {self._seconds} s") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            words = worker.last_words()
            self._end(worker)
            cause: PreviewProblem = "MEMORY" if OUT_OF_MEMORY.search(words) else "CRASH"
            raise self._failure(job, cause, f"{error!r}, {words!r}") from None
        if not refusal:
            return reply
        if refusal == "MEMORY":
            # It may hold on to memory, which later requests would lack.
            self._end(worker)
        raise self._failure(job, _PROBLEMS.get(refusal, "CRASH"), detail)

    def _failure(self, job: _Job, cause: PreviewProblem, detail: str) -> NoPreview | ServerDraining:
        if self._closed:
            return ServerDraining()
        level = logging.INFO if cause in REFUSALS or job.abandoned else logging.WARNING
        log.log(level, "no %s of %s (%s, %s): %r", job.task, job.path, job.format, cause, detail)
        return NoPreview(format=job.format, cause=cause)

    def _living(self, worker: WorkerProcess | None) -> WorkerProcess | None:
        """The worker, or a new one if it is dead, or None if none can be started now."""
        if worker and worker.alive:
            return worker
        if worker:
            self._end(worker)
        if self._closed:
            return None
        try:
            return self._start()
        except ServerDraining:
            return None
        except OSError:
            log.exception("no decoder can be started")
            return None

    def _start(self) -> WorkerProcess:
        worker = WorkerProcess(self._memory, self._nice)
        with self._lock:
            if not self._closed:
                self._live.add(worker)
                return worker
        worker.end()
        raise ServerDraining

    def _end(self, worker: WorkerProcess) -> None:
        with self._lock:
            self._live.discard(worker)
        worker.end()
