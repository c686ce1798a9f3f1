"""A thread that owns a worker process: it gives it one job at a time, kills it when the time is over, and
starts another one where it died.

It is a thread and not the event loop, because the kernel ends a worker together with the thread that started
it.
"""

import contextlib
import logging
import os
import queue
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

from conexiones.adapters.decoder.decoder_worker import Refusal
from conexiones.adapters.decoder.measures import Death, Task
from conexiones.adapters.decoder.worker_process import CannotWrite, NeverTaken, Reply, WorkerProcess
from conexiones.adapters.system.disk import storage_error
from conexiones.errors import NoPreview, PreviewProblem, ServerDraining
from conexiones.image_formats import ImageFormat
from conexiones.seldom import Seldom

log = logging.getLogger("conexiones.decoder")

REFUSALS: Final[tuple[Refusal, ...]] = get_args(Refusal)
_PROBLEMS: Final[dict[str, PreviewProblem]] = {refusal: refusal for refusal in REFUSALS}

_LINES: Final = {cause: Seldom() for cause in get_args(PreviewProblem)}
"""For the log of failures: whoever has files that kill decoders must not fill the disk with it."""

_NO_DECODER: Final = Seldom()

_LONGEST: Final = 8000
"""The most characters of why."""

# What GLib and the C++ runtime print where an allocation fails, before they abort. The last one is about the
# stack of a thread.
OUT_OF_MEMORY = re.compile(
    rb"failed to allocate|bad_alloc|MemoryError|out of memory|resource temporarily unavailable", re.IGNORECASE
)


class GaveWay(Exception):
    """The job was stopped to make room for others, and has to begin anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    """`pixels` limits width × height; `seconds` the wall time of a job; `memory` the bytes that it may take
    beyond those of an idle worker. Processes with a higher `nice` (0 to 19, as in nice(1)) leave the
    processor to others.
    """

    pixels: int
    seconds: float
    memory: int
    nice: int


@dataclass(slots=True, kw_only=True)
class Job:
    """A piece of work for one worker. `on_begin` is called in the thread when a worker gets it. `abandoned`:
    nobody waits for its result any more. `stopped`: it was ended at once, or is never begun. With `again` it
    then raises GaveWay, as it is to be done later. `seconds` is how long a worker had it, once
    it has ended."""

    task: Task
    path: Path
    format: ImageFormat
    into: Path | None = None  # the file for the image that the task makes; without one it comes into memory
    arguments: dict[str, str | int] = field(default_factory=dict)
    on_begin: Callable[[], None] = lambda: None
    reply: Future[Reply] = field(default_factory=Future)
    abandoned: bool = False
    stopped: bool = False
    again: bool = False
    context: Context = field(default_factory=copy_context)
    """That of the call, with whose ids the log is written."""
    seconds: float = 0.0

    def anew(self) -> "Job":
        """The same job, to be given once more."""
        return Job(
            task=self.task, path=self.path, format=self.format, into=self.into, arguments=self.arguments
        )


class Seat:
    """A thread, its worker, and the job that it has.

    `on_start` is called once the first worker has loaded its libraries, with the parts of its sandbox that
    hold; `on_free` after each job, once there is a worker for the next one; `on_death` when a worker has
    ended before the seat is closed. All are called in the thread.
    """

    def __init__(
        self,
        limits: WorkerLimits,
        *,
        name: str,
        on_start: Callable[[list[str]], None],
        on_free: Callable[["Seat"], None],
        on_death: Callable[[Death], None],
    ) -> None:
        self._limits = limits
        self._on_start = on_start
        self._on_free = on_free
        self._on_death = on_death
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()  # guards the rest, and what may be changed of the job
        self._job: Job | None = None
        self._worker: WorkerProcess | None = None
        self._closed = False
        self.started: Future[None] = Future()
        """Done when the first worker was started, and has the error if that failed."""
        self.ended: Future[None] = Future()
        """Done when the thread has ended."""
        for future in (self.started, self.ended):
            # A running future is not cancelled together with the task that waits for it.
            future.set_running_or_notify_cancel()
        # A daemon thread lets a server exit that failed without closing the pool.
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def give(self, job: Job) -> None:
        """Gives it a job. It must be free."""
        job.reply.set_running_or_notify_cancel()
        self._jobs.put(job)

    def abandon(self, job: Job) -> None:
        """Nobody waits for the job any more. It may go on, but it writes no file that is not there yet."""
        with self._lock:
            job.abandoned = True

    def stop(self, job: Job, *, again: bool = False) -> None:
        """Ends a job at once, if it has not ended yet."""
        with self._lock:
            job.stopped, job.again = True, again
            if self._job is job and self._worker:
                self._worker.kill()

    @property
    def pid(self) -> int | None:
        """The number of the worker's process, while there is one."""
        worker = self._worker
        return worker.pid if worker else None

    def processor_seconds(self) -> float:
        """What the worker has used of a processor; 0 without a worker."""
        with self._lock:
            return self._worker.processor_seconds() if self._worker else 0.0

    def close(self) -> None:
        """Ends the worker at once, and the thread soon."""
        with self._lock:
            self._closed = True
            if self._worker:
                self._worker.kill()
        self._jobs.put(None)

    def join(self) -> None:
        """Call it after `ended`; then it returns at once."""
        self._thread.join()

    # In the thread.

    def _serve(self) -> None:
        try:
            try:
                self._start()
            except Exception as error:
                self.started.set_exception(error)  # whoever adds a seat later ignores it
            else:
                self.started.set_result(None)
                if holds := self._loaded():
                    self._on_start(holds)
            while (job := self._jobs.get()) is not None:
                outcome = self._outcome(job)
                if alive := self._worker is not None and self._worker.alive:
                    self._on_free(self)  # first, so that whoever gets the reply finds it free
                outcome(job.reply)
                if not alive:
                    self._loaded()  # now, so that the next job need not wait for that
                    self._on_free(self)
        finally:
            self._end()
            self.ended.set_result(None)

    def _outcome(self, job: Job) -> Callable[[Future[Reply]], None]:
        """Does the job. Gives what tells its outcome to a future."""
        try:
            reply = self._done(job)
        except BaseException as error:
            failure = error
            return lambda future: future.set_exception(failure)
        return lambda future: future.set_result(reply)

    def _done(self, job: Job) -> Reply:
        with self._lock:
            self._job = job
        try:
            for final in (False, True):
                try:
                    return self._run(job)
                except NeverTaken as error:
                    # It died idle, which is not the fault of this job: another worker may have it.
                    if final:
                        raise self._failure(job, "CRASH", repr(error)) from None
        finally:
            with self._lock:
                self._job = None
        raise AssertionError  # the loop ends by return or raise

    def _run(self, job: Job) -> Reply:
        """The reply of the worker, which is ended if it is of no more use.

        Raises NoPreview, ServerDraining, GaveWay, NeverTaken, StorageFull and StorageUnavailable.
        """
        self._loaded()
        worker = self._worker
        if job.stopped or job.abandoned or worker is None:
            raise self._failure(job, "CRASH", "no worker could be started")
        request = job.arguments | {"task": job.task, "format": job.format, "pixels": self._limits.pixels}

        job.on_begin()
        begun = time.monotonic()
        try:
            descriptor = os.open(job.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise self._failure(job, "CORRUPT", repr(error)) from None
        try:
            reply = self._ask(worker, job, descriptor, request)
        finally:
            os.close(descriptor)
            job.seconds = time.monotonic() - begun
        refusal, detail = str(reply.found["cause"]), str(reply.found["detail"])
        if not refusal:
            return reply
        if refusal == "MEMORY":
            # It may hold on to memory, which later jobs would lack.
            self._end("MEMORY")
        raise self._failure(job, _PROBLEMS.get(refusal, "CRASH"), detail)

    def _ask(self, worker: WorkerProcess, job: Job, descriptor: int, request: dict[str, str | int]) -> Reply:
        def create() -> int:
            # The caller removes the file after it has abandoned the job, so it is not made after that.
            with self._lock:
                if job.abandoned:
                    raise FileNotFoundError("nobody waits for it")
                # What is there was begun by a job that gave way.
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
                return os.open(job.into or "", flags, 0o600)

        try:
            reply = worker.ask(request, descriptor, create if job.into else None, self._limits.seconds)
            if not {"cause", "detail"} <= reply.found.keys():
                raise ValueError(reply.found)
        except NeverTaken:
            self._end("STOPPED" if job.stopped else "IDLE")
            raise
        except CannotWrite as error:
            self._end("STORAGE")  # the rest of the reply is of no use
            raise storage_error(error.__cause__) if isinstance(error.__cause__, OSError) else error from error
        except TimeoutError:
            self._end("SECONDS")
            raise self._failure(job, "SECONDS", f"over {self._limits.seconds} s") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            words = worker.last_words()
            cause: Literal["MEMORY", "CRASH"] = "MEMORY" if OUT_OF_MEMORY.search(words) else "CRASH"
            self._end("STOPPED" if job.stopped else cause)
            raise self._failure(job, cause, f"{error!r}, {words!r}") from None
        return reply

    def _failure(self, job: Job, cause: PreviewProblem, detail: str) -> Exception:
        if self._closed:
            return ServerDraining()
        if job.stopped and job.again:
            return GaveWay()
        level, more = logging.DEBUG, ""
        # What a file has caused is no fault. If nobody waits for it any more, nothing has failed.
        if cause not in REFUSALS and not job.stopped and not job.abandoned:
            left_out = _LINES[cause].take()
            if left_out is not None:
                level, more = logging.WARNING, f" ({left_out} others are left out)" if left_out else ""
        job.context.run(
            log.log,
            level,
            "no %s of %s (%s, %s): %r%s",
            job.task,
            job.path,
            job.format,
            cause,
            detail[:_LONGEST],
            more,
        )
        return NoPreview(format=job.format, cause=cause)

    def _loaded(self) -> list[str]:
        """Has a living worker that has loaded its libraries, unless none can be started now. Gives the parts
        of its sandbox that hold."""
        for final in (False, True):
            try:
                if self._worker and not self._worker.alive:
                    self._end("IDLE")
                if not self._worker:
                    self._start()
                if self._worker:
                    return self._worker.load()
            except ServerDraining:
                return []
            except (OSError, ValueError) as error:
                words = self._worker.last_words() if self._worker else b""
                self._end("CRASH")
                if final and not self._closed:
                    _NO_DECODER.log(log, logging.ERROR, "no decoder can be started: %r, %r", error, words)
        return []

    def _start(self) -> None:
        worker = WorkerProcess(self._limits.memory, self._limits.nice)
        with self._lock:
            if not self._closed:
                self._worker = worker
                return
        worker.end()
        raise ServerDraining

    def _end(self, cause: Death | None = None) -> None:
        with self._lock:
            worker, self._worker = self._worker, None
        if worker:
            with contextlib.suppress(OSError):
                worker.end()
            if cause and not self._closed:
                self._on_death(cause)
