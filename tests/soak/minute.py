"""What is looked at each minute: the server's processes and its disk, and what the clients saw."""

from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Self

import psutil

from tests.soak.work import Tally
from tests.support.processes import Meter, family


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """One minute. `memory` is the peak of all processes together (PSS), `disk` what the data folder takes
    without renditions, `content` the bytes of all images, all in bytes. p50, p95: seconds by kind of work.
    errors: by kind of work and reason. faults: what was killed."""

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
    )


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
