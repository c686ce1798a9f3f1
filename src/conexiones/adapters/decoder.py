"""Previews, made in processes of their own: what a C library does there costs one request, never the server.

A thread owns each process (`decoder_worker.py`) and talks to it over a socket pair: it gives it one request
at a time, kills it when the time is over, and starts another where it died. The other workers never notice.
A thread and not the event loop, because the kernel ends a worker with the thread that started it.
"""

import asyncio
import contextlib
import json
import logging
import os
import queue
import re
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from conexiones.errors import NoPreview, ServerDraining

log = logging.getLogger("conexiones.decoder")

PROGRAM = Path(__file__).with_name("decoder_worker.py")
START_SECONDS = 30.0  # to load the libraries, on a machine that is busy with other things
REPLY_BYTES = 64 << 20
REFUSALS = {"PIXELS", "MEMORY", "CORRUPT", "UNSUPPORTED"}

# GLib and the C++ runtime abort where an allocation fails; this is what they print before.
OUT_OF_MEMORY = re.compile(rb"failed to allocate|bad_alloc|MemoryError|out of memory", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    path: Path
    format: str
    side: int
    reply: Future[bytes] = field(default_factory=Future)


class _NeverTaken(Exception):
    """The worker was dead, or died, before it took the request."""


class _Worker:
    """One process. Belongs to the thread that made it, except for `kill`.

    Construction returns as soon as the program runs, before it has loaded its libraries. OSError if it
    cannot be started.
    """

    def __init__(self, memory: int) -> None:
        self._loaded = self._ended = False
        self._socket, theirs = socket.socketpair()
        # In memory, because a pipe that nobody reads would stop a worker that prints much.
        self._stderr = os.fdopen(os.memfd_create("decoder-stderr"), "rb", buffering=0)
        # sys.executable is Envoy where the server runs embedded in it. -I ignores the PYTHON* variables that
        # the embedding sets, and its LD_PRELOAD would bring a second libpython.
        python = Path(sys.prefix) / "bin" / "python3"
        environment = {"VIPS_CONCURRENCY": "1", "LC_ALL": "C.UTF-8"}
        if "LD_LIBRARY_PATH" in os.environ:  # some Pythons find their own library only with it
            environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
        try:
            self._process = subprocess.Popen(
                [python, "-I", PROGRAM, str(memory)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                env=environment,
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

    def ask(self, request: dict[str, str | int], seconds: float) -> tuple[str, str, bytes]:
        """Cause, detail and JPEG. The time to load the libraries does not count as the request's.

        TimeoutError, or OSError or ValueError if the process died or talks nonsense: then end it. _NeverTaken
        if it died before: another worker may have the request.
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
        head, _, jpeg = self._receive(deadline).partition(b"\n")
        answer = json.loads(head)
        return str(answer["cause"]), str(answer["detail"]), jpeg

    def last_words(self) -> bytes:
        """The end of what the process printed, at most 2,000 bytes."""
        size = os.fstat(self._stderr.fileno()).st_size
        return os.pread(self._stderr.fileno(), 2000, max(0, size - 2000))

    def _receive(self, deadline: float) -> bytes:
        length = int.from_bytes(self._read(4, deadline))
        if length > REPLY_BYTES:
            raise ValueError(f"a reply of {length} bytes")
        return self._read(length, deadline)

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

    `decode_pixels` limits width × height, `decode_seconds` the wall time of a request from when a worker has
    it, `decode_memory` the bytes that it may take beyond those of an idle worker. Belongs to one event loop.
    """

    def __init__(
        self, *, workers: int, decode_pixels: int, decode_seconds: float, decode_memory: int
    ) -> None:
        self._workers = workers
        self._pixels = decode_pixels
        self._seconds = decode_seconds
        self._memory = decode_memory
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[tuple[threading.Thread, Future[None]]] = []  # and when each has ended
        self._lock = threading.Lock()  # no worker joins the live ones once the pool is closed
        self._live: set[_Worker] = set()
        self._closed = True

    async def open(self) -> None:
        """Starts the processes, which load their libraries meanwhile. OSError if Python is not there."""
        self._closed = False
        self._jobs = queue.SimpleQueue()  # threads that failed to start left their ends in the last one
        all_started: list[Future[None]] = []
        for number in range(self._workers):
            started: Future[None] = Future()
            ended: Future[None] = Future()
            ended.set_running_or_notify_cancel()  # a cancelled `close` must not cancel it
            all_started.append(started)
            # Daemons, so that a server that fails without closing the pool can still exit.
            thread = threading.Thread(
                target=self._serve, args=(started, ended), name=f"decoder-{number}", daemon=True
            )
            self._threads.append((thread, ended))
            thread.start()
        try:
            await asyncio.gather(*map(asyncio.wrap_future, all_started))
        except BaseException:
            await self.close()
            raise

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
        """See Decoder. ServerDraining if the pool is closed, also meanwhile.

        A call that is cancelled while it waits for a worker is never run; one that is running goes on to its
        end for nothing.
        """
        if self._closed:
            raise ServerDraining
        job = _Job(path=path, format=format, side=side)
        self._jobs.put(job)
        return await asyncio.wrap_future(job.reply)

    def _serve(self, started: Future[None], ended: Future[None]) -> None:
        """The life of a thread and of the workers that it owns, one after another."""
        worker: _Worker | None = None
        try:
            started.set_running_or_notify_cancel()
            worker = self._start()
            started.set_result(None)
            while (job := self._jobs.get()) is not None:
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
        except Exception as error:
            started.set_exception(error)
        finally:
            if worker:
                self._end(worker)
            ended.set_result(None)

    def _run(self, job: _Job, worker: _Worker | None) -> bytes:
        """The preview, or NoPreview. The worker is ended where it is of no more use."""
        if worker is None:
            raise self._failure(job, "CRASH", "no worker could be started")
        request: dict[str, str | int] = {
            "path": os.fspath(job.path),
            "format": job.format,
            "side": job.side,
            "pixels": self._pixels,
        }
        try:
            cause, detail, jpeg = worker.ask(request, self._seconds)
        except _NeverTaken:
            self._end(worker)
            raise
        except TimeoutError:
            self._end(worker)
            raise self._failure(job, "SECONDS", f"over {self._seconds} s") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            words = worker.last_words()
            self._end(worker)
            cause = "MEMORY" if OUT_OF_MEMORY.search(words) else "CRASH"
            raise self._failure(job, cause, f"{error!r}, {words!r}") from None
        if not cause:
            return jpeg
        if cause == "MEMORY":
            # What it still holds would be missing from every later request.
            self._end(worker)
        raise self._failure(job, cause if cause in REFUSALS else "CRASH", detail)

    def _failure(self, job: _Job, cause: str, detail: str) -> NoPreview | ServerDraining:
        if self._closed:
            return ServerDraining()
        level = logging.INFO if cause in REFUSALS else logging.WARNING
        log.log(level, "no preview of %s (%s, %s): %r", job.path, job.format, cause, detail)
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
        worker = _Worker(self._memory)
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
