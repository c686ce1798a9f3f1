"""The limits of the machine itself, without a server or a network."""

import fcntl
import hashlib
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterable
from mmap import mmap
from pathlib import Path
from queue import SimpleQueue

from bench.images import BLOCK

DEPTH = 2
"""Number of buffers: one is filled while the other is hashed and written."""


class _Worker(threading.Thread):
    """A thread that applies one function to each buffer that it is given."""

    def __init__(self, work: Callable[[memoryview], object]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self.jobs: SimpleQueue[tuple[memoryview, threading.Semaphore] | None] = SimpleQueue()
        self.failure: OSError | None = None

    def run(self) -> None:
        while job := self.jobs.get():
            view, done = job
            try:
                self._work(view)
            except OSError as error:
                self.failure = error
            done.release()


def direct_write(pieces: Iterable[bytes], path: Path) -> tuple[float, bytes]:
    """Writes the pieces past the page cache, hashes them at the same time, and calls fsync.

    All pieces but the last have BLOCK bytes. The buffers are aligned and reused; one thread hashes and
    another writes. Returns the seconds and the SHA-256. Raises OSError where the file system has no O_DIRECT.
    """
    views = [memoryview(mmap(-1, BLOCK)) for _ in range(DEPTH)]
    for view in views:
        view[:] = bytes(BLOCK)  # touches the memory for the first time here, and not while time is measured
    free = [threading.Semaphore(2) for _ in range(DEPTH)]  # released twice: hashed, and written
    sha = hashlib.sha256()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_DIRECT, 0o600)
    workers = [_Worker(sha.update), _Worker(lambda view: _write(descriptor, view))]
    for worker in workers:
        worker.start()
    begin = time.perf_counter()
    for number, piece in enumerate(pieces):
        view, done = views[number % DEPTH], free[number % DEPTH]
        done.acquire()
        done.acquire()
        view[: len(piece)] = piece
        for worker in workers:
            worker.jobs.put((view[: len(piece)], done))
    for worker in workers:
        worker.jobs.put(None)
        worker.join()
    os.fsync(descriptor)
    seconds = time.perf_counter() - begin
    os.close(descriptor)
    for worker in workers:
        if worker.failure:
            raise worker.failure
    return seconds, sha.digest()


def _write(descriptor: int, view: memoryview) -> None:
    # O_DIRECT transfers whole blocks only; the rest at the end goes through the page cache.
    whole = len(view) // 4096 * 4096
    written = 0
    while written < whole:
        written += os.write(descriptor, view[written:whole])
    if whole < len(view):
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~os.O_DIRECT)
        os.write(descriptor, view[whole:])


def appends(data: bytes, path: Path, *, count: int) -> float:
    """Appends `data` and makes it durable with fdatasync, `count` times. Returns the median in seconds."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        times = []
        for _ in range(count):
            begin = time.perf_counter()
            os.write(descriptor, data)
            os.fdatasync(descriptor)
            times.append(time.perf_counter() - begin)
    finally:
        os.close(descriptor)
    return statistics.median(times)
