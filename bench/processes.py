"""A server's processes and the memory that they take, for the bench and for the tests."""

import threading
from contextlib import suppress
from pathlib import Path
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


def _pss(process: psutil.Process) -> int:
    return int(process.memory_full_info().pss)


def _own(process: psutil.Process) -> int:
    lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    kilobytes = (int(line.split()[1]) for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:")))
    return sum(kilobytes) << 10


class Meter(threading.Thread):
    """`peak` is the largest memory of a process and all below it while the block runs, in bytes.

    Each shared page is counted once (PSS). It is measured every 50 ms, or at other intervals, in seconds.
    Without `files`, pages of programs, libraries and other files are left out: how much of them counts for
    these processes depends on what else runs on the machine.
    """

    def __init__(self, pid: int, *, every: float = 0.05, files: bool = True) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._pid = pid
        self._read = _pss if files else _own
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
                total += self._read(process)
            except (psutil.Error, OSError):  # it has just ended
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
