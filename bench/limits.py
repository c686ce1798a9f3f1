"""What the machine itself can do: no server, no network."""

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
"""Buffers: one is filled while the other is hashed and written."""


class _Worker(threading.Thread):
    """Does one thing with each buffer it is given."""

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
    """Writes pieces of at most BLOCK bytes past the page cache with the hash beside it, and fsync.

    The buffers are aligned and used again and again; one thread hashes, another writes. All pieces but the
    last have BLOCK bytes. Gives seconds and the SHA-256. Raises OSError where there is no O_DIRECT.
    """
    views = [memoryview(mmap(-1, BLOCK)) for _ in range(DEPTH)]
    for view in views:
        view[:] = bytes(BLOCK)  # memory is touched for the first time here, not where time counts
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
    # O_DIRECT takes whole blocks only; what is left at the end goes through the page cache.
    whole = len(view) // 4096 * 4096
    written = 0
    while written < whole:
        written += os.write(descriptor, view[written:whole])
    if whole < len(view):
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~os.O_DIRECT)
        os.write(descriptor, view[whole:])


def appends(data: bytes, path: Path, *, count: int) -> float:
    """Appends `data` and makes it durable with fdatasync, `count` times; gives the median in seconds."""
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
