"""Decoding in processes of its own: what a C library does there costs one request, never the server.

A thread owns each process (the package `decoder_worker`) and talks to it over a socket pair: it gives it one
request at a time, kills it when the time is over, and starts another where it died. The other workers never
notice.
A thread and not the event loop, because the kernel ends a worker with the thread that started it.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import queue
import re
import socket
import subprocess
import threading
import time
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from conexiones.adapters.system.disk import storage_error
from conexiones.adapters.system.python import interpreter
from conexiones.errors import NoPreview, ServerDraining
from conexiones.ports.records import Facts, Recipe, Rendered

log = logging.getLogger("conexiones.decoder")

# Behind all other folders of modules, so that nothing here takes the place of another.
PROGRAM = "import sys; sys.path.append(sys.argv.pop(1)); from decoder_worker.process import main; main()"
START_SECONDS = 30.0  # to load the libraries, on a machine that is busy with other things
REPLY_BYTES = 64 << 20
FILE_BYTES = 512 << 20
"""Of a reply in memory, and of one into a file."""

PIECE = 1 << 20
REFUSALS = {"PIXELS", "MEMORY", "CORRUPT", "UNSUPPORTED"}

# GLib and the C++ runtime abort where an allocation fails; this is what they print before.
OUT_OF_MEMORY = re.compile(rb"failed to allocate|bad_alloc|MemoryError|out of memory", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    task: str
    path: Path
    format: str
    into: Path | None = None  # a file for the image that comes back; without one it comes into memory
    arguments: dict[str, str | int] = field(default_factory=dict)
    reply: Future["_Reply"] = field(default_factory=Future)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    """What the task found; its image in memory, or the size and SHA-256 of the file."""

    found: dict[str, Any]
    image: bytes
    size: int
    sha256: bytes


class _NeverTaken(Exception):
    """The worker was dead, or died, before it took the request."""


class _CannotWrite(Exception):
    """The file for the reply could not be written; the cause is chained."""


class _Worker:
    """One process. Belongs to the thread that made it, except for `kill`.

    Construction returns as soon as the program runs, before it has loaded its libraries. OSError if it
    cannot be started.
    """

    def __init__(self, memory: int, nice: int) -> None:
        self._loaded = self._ended = False
        self._socket, theirs = socket.socketpair()
        # In memory, because a pipe that nobody reads would stop a worker that prints much.
        self._stderr = os.fdopen(os.memfd_create("decoder-stderr"), "rb", buffering=0)
        python, environment = interpreter()
        try:
            self._process = subprocess.Popen(
                [python, "-I", "-c", PROGRAM, Path(__file__).parent, str(memory), str(nice)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                env={"VIPS_CONCURRENCY": "1", **environment},
                start_new_session=True,  # a Ctrl-C in the server's terminal is the server's to handle
            )
        except OSError:
            self._socket.close()
            self._stderr.close()
            raise
        finally:
            theirs.close()

    @property
    def alive(self) -> bool:
        return not self._ended and self._process.poll() is None

    def kill(self) -> None:
        """Ends the process at once, and with it the `ask` under way. Safe from any thread."""
        self._process.kill()

    def end(self) -> None:
        """Kills the process and leaves nothing of it. Safe to call again."""
        self._ended = True
        self._process.kill()
        # A process in an uninterruptible read dies later, and must not hold up the pool until then.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._socket.close()
        self._stderr.close()

    def ask(self, request: dict[str, str | int], into: Path | None, seconds: float) -> _Reply:
        """What the worker replies. The time to load the libraries does not count as the request's.

        TimeoutError, or OSError or ValueError if the process died or talks nonsense: then end it. _NeverTaken
        if it died before: another worker may have the request. _CannotWrite if that is the file's fault.
        """
        if not self._loaded:
            self._receive(time.monotonic() + START_SECONDS)
            self._loaded = True
        deadline = time.monotonic() + seconds
        message = json.dumps(request).encode()
        self._socket.settimeout(seconds)
        try:
            self._socket.sendall(len(message).to_bytes(4) + message)
            self._receive(deadline)
        except ConnectionError as error:
            raise _NeverTaken from error
        found = dict(json.loads(self._receive(deadline)))
        if into is None:
            image = self._receive(deadline)
            return _Reply(found=found, image=image, size=len(image), sha256=b"")
        size, digest = self._save(into, deadline)
        return _Reply(found=found, image=b"", size=size, sha256=digest)

    def last_words(self) -> bytes:
        """The end of what the process printed, at most 2,000 bytes."""
        size = os.fstat(self._stderr.fileno()).st_size
        return os.pread(self._stderr.fileno(), 2000, max(0, size - 2000))

    def _receive(self, deadline: float) -> bytes:
        return self._read(self._length(REPLY_BYTES, deadline), deadline)

    def _save(self, into: Path, deadline: float) -> tuple[int, bytes]:
        """A message into a new file; its size and SHA-256."""
        left = size = self._length(FILE_BYTES, deadline)
        sha = hashlib.sha256()
        try:
            descriptor = os.open(into, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            file = os.fdopen(descriptor, "wb", buffering=0)
        except OSError as error:
            raise _CannotWrite from error
        with file:
            while left:
                piece = self._read(min(left, PIECE), deadline)
                sha.update(piece)
                left -= len(piece)
                try:
                    while piece:
                        piece = piece[file.write(piece) :]
                except OSError as error:
                    raise _CannotWrite from error
        return size, sha.digest()

    def _length(self, limit: int, deadline: float) -> int:
        length = int.from_bytes(self._read(4, deadline))
        if length > limit:
            raise ValueError(f"a reply of {length} bytes")
        return length

    def _read(self, length: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < length:
            # 0 would mean: do not wait.
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            piece = self._socket.recv(length - len(data))
            if not piece:
                raise ConnectionError("the worker ended")
            data += piece
        return bytes(data)


class VipsDecoder:
    """The Decoder of libvips: a pool of `workers` processes; more requests wait their turn, first come first.
    `ready` of them start at once, the others when there is a request and none of those is idle.

    `decode_pixels` limits width × height, `decode_seconds` the wall time of a request from when a worker has
    it, `decode_memory` the bytes that it may take beyond those of an idle worker. `nice` workers leave the
    processor to others (0 to 19, as nice(1)). Belongs to one event loop.
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
        self._threads: list[tuple[threading.Thread, Future[None]]] = []  # and when each has ended
        self._pending = 0  # requests that wait or run
        self._lock = threading.Lock()  # for `_pending`, and so that no worker joins a pool that is closed
        self._live: set[_Worker] = set()
        self._closed = True

    async def open(self) -> None:
        """Starts the first processes, which go on to load their libraries. OSError if Python is not there."""
        self._closed = False
        self._jobs = queue.SimpleQueue()  # threads that failed to start left their ends in the last one
        all_started = [self._add_thread() for _ in range(self._ready)]
        try:
            await asyncio.gather(*map(asyncio.wrap_future, all_started))
        except BaseException:
            await self.close()
            raise

    def _add_thread(self) -> Future[None]:
        """Adds a thread, which starts a worker; gives whether that came about."""
        started: Future[None] = Future()
        ended: Future[None] = Future()
        for future in (started, ended):
            future.set_running_or_notify_cancel()  # who is cancelled meanwhile must not cancel it
        # A daemon, so that a server that fails without closing the pool can still exit.
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
                _fail(self._jobs.get_nowait(), ServerDraining())
        for worker in live:
            worker.kill()
        for _ in self._threads:
            self._jobs.put(None)
        await asyncio.gather(*(asyncio.wrap_future(ended) for _, ended in self._threads))
        for thread, _ in self._threads:
            thread.join()  # it has nothing left to do
        self._threads.clear()

    async def preview(self, path: Path, *, format: str, side: int = 256) -> bytes:
        """See Decoder. ServerDraining if the pool is closed, also meanwhile, as with the others.

        A call that is cancelled while it waits for a worker is never run; one that is running goes on to its
        end for nothing.
        """
        return (
            await self._do(_Job(task="preview", path=path, format=format, arguments={"side": side}))
        ).image

    async def describe(self, path: Path, *, format: str) -> Facts:
        found = (await self._do(_Job(task="describe", path=path, format=format))).found
        return Facts(
            color_space=str(found["color_space"]),
            bits_per_sample=int(found["bits_per_sample"]),
            has_alpha=bool(found["has_alpha"]),
            dominant_color=str(found["dominant_color"]),
            blur_hash=str(found["blur_hash"]),
        )

    async def render(self, path: Path, into: Path, *, format: str, recipe: Recipe) -> Rendered:
        """See Decoder. A call that is cancelled while a worker has it ends when the worker is done."""
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

    async def _do(self, job: _Job) -> _Reply:
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
        if job.into is None:
            return await done
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            if not job.reply.cancel():
                # The file is the caller's again only when no thread writes to it.
                await asyncio.wait((done,))
                done.exception()  # seen: asyncio logs exceptions that nobody looked at
            raise

    def _answered(self, _: Future[_Reply]) -> None:
        with self._lock:
            self._pending -= 1

    def _serve(self, started: Future[None], ended: Future[None]) -> None:
        """The life of a thread and of the workers that it owns, one after another."""
        worker: _Worker | None = None
        try:
            try:
                worker = self._start()
            except Exception as error:
                started.set_exception(error)  # `open` closes the pool then; later on it is tried again
            else:
                started.set_result(None)
            while (job := self._jobs.get()) is not None:
                worker = worker or self._living(None)
                if not job.reply.set_running_or_notify_cancel():
                    continue
                for final in (False, True):
                    try:
                        job.reply.set_result(self._run(job, worker))
                    except _NeverTaken as error:
                        # It died idle, which is not this request's fault: another may have it.
                        worker = self._living(worker)
                        if not final:
                            continue
                        job.reply.set_exception(self._failure(job, "CRASH", repr(error)))
                    except BaseException as error:
                        job.reply.set_exception(error)
                    break
                # Now and not with the next request, which would have to wait until it has loaded.
                worker = self._living(worker)
        finally:
            if worker:
                self._end(worker)
            ended.set_result(None)

    def _run(self, job: _Job, worker: _Worker | None) -> _Reply:
        """The reply, or NoPreview. The worker is ended where it is of no more use."""
        if worker is None:
            raise self._failure(job, "CRASH", "no worker could be started")
        request = job.arguments | {
            "task": job.task,
            "path": os.fspath(job.path),
            "format": job.format,
            "pixels": self._pixels,
        }
        try:
            reply = worker.ask(request, job.into, self._seconds)
            cause, detail = str(reply.found["cause"]), str(reply.found["detail"])
        except _NeverTaken:
            self._end(worker)
            raise
        except _CannotWrite as error:
            self._end(worker)  # what it has still to say is of no use
            raise storage_error(error.__cause__) if isinstance(error.__cause__, OSError) else error from error
        except TimeoutError:
            self._end(worker)
            raise self._failure(job, "SECONDS", f"over {self._seconds} s") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            words = worker.last_words()
            self._end(worker)
            cause = "MEMORY" if OUT_OF_MEMORY.search(words) else "CRASH"
            raise self._failure(job, cause, f"{error!r}, {words!r}") from None
        if not cause:
            return reply
        if cause == "MEMORY":
            # What it still holds would be missing from every later request.
            self._end(worker)
        raise self._failure(job, cause if cause in REFUSALS else "CRASH", detail)

    def _failure(self, job: _Job, cause: str, detail: str) -> NoPreview | ServerDraining:
        if self._closed:
            return ServerDraining()
        level = logging.INFO if cause in REFUSALS else logging.WARNING
        log.log(level, "no %s of %s (%s, %s): %r", job.task, job.path, job.format, cause, detail)
        return NoPreview(format=job.format, cause=cause)

    def _living(self, worker: _Worker | None) -> _Worker | None:
        """The worker, or a new one in place of a dead one, or None if none can be started now."""
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

    def _start(self) -> _Worker:
        worker = _Worker(self._memory, self._nice)
        with self._lock:
            if not self._closed:
                self._live.add(worker)
                return worker
        worker.end()
        raise ServerDraining

    def _end(self, worker: _Worker) -> None:
        with self._lock:
            self._live.discard(worker)
        worker.end()


def _fail(job: _Job | None, error: Exception) -> None:
    if job and job.reply.set_running_or_notify_cancel():
        job.reply.set_exception(error)
