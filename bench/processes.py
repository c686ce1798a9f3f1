"""A server's processes and the memory that they take, for the bench and for the tests."""

import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

import psutil


def family(pid: int) -> list[psutil.Process]:
    """A process and all below it; of our server: supervisor, Envoy with Python inside, writer, decoders."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def processor_seconds(pid: int) -> float:
    """The CPU seconds of a process and all below it so far, also of those that have ended."""
    while True:
        with suppress(psutil.NoSuchProcess):
            return sum(sum(one.cpu_times()[:4]) for one in family(pid))
        if not psutil.pid_exists(pid):
            raise psutil.NoSuchProcess(pid)
        # One ended meanwhile, and now counts for its parent.


class Meter(threading.Thread):
    """`peak` is the largest memory of a process and all below it while the block runs, in bytes.

    Each shared page is counted once (PSS). It is measured every 50 ms, or at other intervals, in seconds.
    """

    def __init__(self, pid: int, *, every: float = 0.05) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._pid = pid
        self._every = every
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(self._every):
            self._measure()

    def take(self) -> int:
        """The peak, which is measured anew from now on."""
        self._measure()
        peak, self.peak = self.peak, 0
        return peak

    def _measure(self) -> None:
        total = 0
        for process in family(self._pid):
            try:
                total += process.memory_full_info().pss
            except psutil.Error:  # it has just ended
                continue
        self.peak = max(self.peak, total)

    def __enter__(self) -> Self:
        self._measure()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self.join()
