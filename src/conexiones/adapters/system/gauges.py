"""What the operating system says of the server: room on the disk, memory, descriptors and threads.

It is read at intervals, in a thread: whoever asks for the metrics gets what was read last, and waits for no
disk.
"""

import asyncio
import logging
import os
import resource
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from conexiones.metrics import Labels, Metrics

LOOK_SECONDS = 5.0
"""Time between two looks."""

TICK_SECONDS = 1.0
"""How often it is measured how late the event loop is."""

log = logging.getLogger(__name__)

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class _Seen:
    """What was seen at one look. Series are by the values of their labels."""

    disk: dict[str, float] = field(default_factory=dict)
    sizes: dict[Labels, float] = field(default_factory=dict)
    memory: Counter[Labels] = field(default_factory=Counter)
    descriptors: Counter[Labels] = field(default_factory=Counter)
    threads: Counter[Labels] = field(default_factory=Counter)


class SystemGauges:
    """Of the file system of `folder`, of what `sizes` gives, by part, and of the processes: `processes` gives
    their numbers by their kind. Both are called in a thread, and may raise OSError. `reserve` is the file
    whose bytes are given up on a full disk, if there is one."""

    def __init__(
        self,
        folder: Path,
        *,
        sizes: Callable[[], Mapping[str, int]],
        processes: Callable[[], Mapping[str, Sequence[int]]],
        metrics: Metrics,
        reserve: Path | None = None,
    ) -> None:
        self._folder = folder
        self._reserve = reserve
        self._sizes = sizes
        self._processes = processes
        self._seen = _Seen()
        self._times: dict[tuple[int, str], float] = {}  # by process and mode
        self._cpu: dict[Labels, float] = {}
        self._failed = False
        self._late = metrics.histogram(
            "conexiones.event_loop.delay",
            "s",
            f"How late the event loop is, looked at every {TICK_SECONDS:g} s.",
        )
        self._observe(metrics)

    async def run(self) -> None:
        """Looks, until it is cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            self._seen = await asyncio.to_thread(self._look)
            until = clock() + LOOK_SECONDS
            while clock() < until:
                begun = clock()
                await asyncio.sleep(TICK_SECONDS)
                self._late.record(max(0.0, clock() - begun - TICK_SECONDS))

    def _look(self) -> _Seen:
        seen = _Seen()
        try:
            found = os.statvfs(self._folder)
            seen.disk = {
                "free": found.f_bavail * found.f_frsize,
                "limit": found.f_blocks * found.f_frsize,
            }
            if found.f_files:  # Btrfs and others have no limit, and say 0
                seen.disk["files"] = found.f_favail
            if self._reserve is not None:
                seen.disk["reserve"] = _size(self._reserve)
            seen.sizes = {(part,): size for part, size in self._sizes().items()}
            self._failed = False
        except OSError as error:
            if not self._failed:
                log.warning("The room on the disk cannot be measured: %s", error)
            self._failed = True
        times: dict[tuple[int, str], float] = {}
        for kind, pids in self._processes().items():
            for pid in pids:
                with suppress(OSError, ValueError, IndexError):  # it has ended
                    self._look_at(kind, pid, seen, times)
        self._times = times
        return seen

    def _look_at(self, kind: str, pid: int, seen: _Seen, times: dict[tuple[int, str], float]) -> None:
        folder = Path(f"/proc/{pid}")
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        seen.memory[(kind,)] += int(fields[21]) * _PAGE
        seen.threads[(kind,)] += int(fields[17])
        seen.descriptors[(kind,)] += sum(1 for _ in (folder / "fd").iterdir())
        for mode, value in (("user", fields[11]), ("system", fields[12])):
            now = times[pid, mode] = int(value) / _TICKS
            before = self._times.get((pid, mode), 0.0)
            # Of a process with the number of one that has ended, all time is new.
            used = now - before if now >= before else now
            self._cpu[kind, mode] = self._cpu.get((kind, mode), 0.0) + used

    def _observe(self, metrics: Metrics) -> None:
        for name, unit, description, key in (
            (
                "free",
                "By",
                "Bytes that are free on the file system of the folder for data or copies.",
                "free",
            ),
            (
                "capacity",
                "By",
                "Bytes of the file system of the folder for data or copies.",
                "limit",
            ),
            (
                "free_files",
                "{file}",
                "Files that can still be created there, if that has a limit.",
                "files",
            ),
            ("reserve", "By", "Bytes that are kept in reserve there, to delete on a full disk.", "reserve"),
        ):
            metrics.observe(f"conexiones.storage.{name}", unit, description, partial(self._disk, key))
        metrics.observe(
            "conexiones.storage.size",
            "By",
            "Bytes on the disk, by what they are.",
            lambda: self._seen.sizes,
            ("part",),
        )
        label, begun = ("process",), time.monotonic()
        metrics.observe(
            "process.memory.usage",
            "By",
            "Resident memory of the processes. What they share counts for each.",
            lambda: self._seen.memory,
            label,
        )
        metrics.observe(
            "conexiones.process.descriptors",
            "{file_descriptor}",
            "Open descriptors.",
            lambda: self._seen.descriptors,
            label,
        )
        metrics.observe(
            "conexiones.process.threads", "{thread}", "Threads.", lambda: self._seen.threads, label
        )
        metrics.observe(
            "process.cpu.time",
            "s",
            "Time of the processor that was used.",
            lambda: dict(self._cpu),
            ("process", "cpu.mode"),
            kind="counter",
        )
        metrics.observe(
            "process.uptime",
            "s",
            "Time since the server started.",
            lambda: time.monotonic() - begun,
        )
        metrics.observe(
            "conexiones.process.descriptors.limit",
            "{file_descriptor}",
            "Descriptors that the process with the connections may have open.",
            lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        )

    def _disk(self, key: str) -> dict[Labels, float]:
        return {(): self._seen.disk[key]} if key in self._seen.disk else {}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
