"""What is looked at each minute: the server's processes and its disk, and what the clients saw."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Self

import psutil

from tests.soak.work import Tally
from tests.support.processes import Meter, family, spent_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """One minute. `memory` is the peak of all processes together (PSS, without files that are mapped), `disk`
    what the data folder takes without renditions, `content` the bytes of all images, all in bytes. p50, p95:
    seconds by kind of work. errors: by kind of work and reason. faults: what was killed. others: the part of
    the processors' time that other programs took, from 0 to 1."""

    piece: int
    minute: int
    memory: int
    descriptors: int
    threads: int
    disk: int
    content: int
    calls: int
    p50: dict[str, float]
    p95: dict[str, float]
    errors: dict[str, int]
    faults: dict[str, int]
    others: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        return cls(**found)


def look(
    *,
    piece: int,
    minute: int,
    meter: Meter,
    pid: int,
    data: Path,
    content: int,
    tallies: dict[str, Tally],
    faults: dict[str, int],
    others: float,
) -> Minute:
    descriptors = threads = 0
    for process in family(pid):
        try:
            descriptors += process.num_fds()
            threads += process.num_threads()
        except psutil.Error:  # it has just ended
            continue
    timed = {kind: tally.seconds for kind, tally in sorted(tallies.items()) if tally.seconds}
    return Minute(
        piece=piece,
        minute=minute,
        memory=meter.take(),
        descriptors=descriptors,
        threads=threads,
        disk=_taken(data),
        content=content,
        calls=sum(map(len, timed.values())),
        p50={kind: round(median(seconds), 5) for kind, seconds in timed.items()},
        p95={kind: round(_p95(seconds), 5) for kind, seconds in timed.items()},
        errors={
            f"{kind}: {reason}": count
            for kind, tally in sorted(tallies.items())
            for reason, count in tally.errors.items()
        },
        faults=faults,
        others=others,
    )


class Beside:
    """Other programs on this machine: all but this process, the server, and what they have started."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._busy, self._own = _busy(), spent_seconds()

    def take(self) -> float:
        """The part of the processors' time that they took since the last time."""
        now, busy, own = time.monotonic(), _busy(), spent_seconds()
        seconds = (busy - self._busy) - (own - self._own)
        whole = (now - self._since) * (psutil.cpu_count() or 1)
        self._since, self._busy, self._own = now, busy, own
        return round(min(1.0, max(0.0, seconds / whole)), 3)


def _busy() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq + times.steal)


def _p95(seconds: list[float]) -> float:
    return quantiles(seconds, n=20, method="inclusive")[-1] if len(seconds) > 1 else seconds[0]


def _taken(data: Path) -> int:
    """The blocks on the disk of all files but renditions."""
    taken = 0
    for path in data.rglob("*"):
        if "renditions" in path.parts:
            continue
        try:
            taken += path.lstat().st_blocks * 512
        except FileNotFoundError:  # deleted meanwhile
            continue
    return taken
