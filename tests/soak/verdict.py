"""Whether something grows that should not."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations
from statistics import median

from tests.soak.minute import Minute

WARM_PART = 0.25
"""The part of a piece, its beginning, in which caches fill and processes start."""

LEAST_MINUTES = 8
"""Minutes of a piece behind that, below which a slope is only noise."""

QUIET = 0.1
"""The part of the processors' time that other programs may take in a minute whose latencies are judged."""

MIB = 1 << 20

WRITER_ENDED = "The process that writes to disk has ended, and is started again"
WRITER_AGAIN = timedelta(seconds=10)
"""How long the server may be without a writer: until then, what has to be stored is refused."""

UNREPEATED = {
    f"{kind}: STORAGE_UNAVAILABLE"
    for kind in (
        "GetUser with an image",
        "GetUserBidiStream",
        "ProcessImage",
        "GetStreamImage",
        "ImageStreamReply",
        "Connect with JSON",
    )
}
"""What may fail while there is no writer: the SDK repeats no streams, and no calls that would store twice;
and nobody repeats what is called without it."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A series that has to stay level. It may grow over a piece by `part` of its median, or by `least`."""

    name: str
    value: Callable[[Minute], float]
    part: float
    least: float


def watched() -> list[Watched]:
    return [
        Watched("memory", lambda minute: minute.memory, 0.1, 24 * MIB),
        Watched("descriptors", lambda minute: minute.descriptors, 0.1, 16),
        Watched("threads", lambda minute: minute.threads, 0.1, 4),
        Watched("disk beyond the content", lambda minute: minute.disk - minute.content, 0.25, 64 * MIB),
    ]


def latencies(minutes: Sequence[Minute]) -> list[Watched]:
    kinds = sorted({kind for minute in minutes for kind in minute.p50})
    return [Watched(f"p50 of {kind}", _p50(kind), 0.5, 0.01) for kind in kinds]


def quiet(minutes: Sequence[Minute]) -> list[Minute]:
    """The minutes whose latencies are judged; none, if they are too few."""
    found = [minute for minute in _level(minutes) if minute.others <= QUIET]
    return found if len(found) >= LEAST_MINUTES else []


def broken(minutes: Sequence[Minute]) -> Iterator[str]:
    """What a piece has shown that must not be: errors, and slopes."""
    for minute in minutes:
        for what, count in minute.errors.items():
            if what not in UNREPEATED or not minute.faults.get("writer"):
                yield f"minute {minute.minute}: {count} × {what}"
    level = _level(minutes)
    if len(level) < LEAST_MINUTES:
        return
    yield from _grown(level, watched())
    if judged := quiet(minutes):
        yield from _grown(judged, latencies(judged))


def _level(minutes: Sequence[Minute]) -> Sequence[Minute]:
    return minutes[round(len(minutes) * WARM_PART) :]


def _grown(minutes: Sequence[Minute], watched: Sequence[Watched]) -> Iterator[str]:
    for series in watched:
        values = [series.value(minute) for minute in minutes]
        grown = slope(values) * (len(values) - 1)
        if grown > max(series.least, series.part * abs(median(values))):
            yield f"{series.name} grows by {grown:.4g} in {len(values)} minutes, from {values[0]:.4g}"


def errors_of(log: str, killed: int) -> Iterator[str]:
    """The errors in a server's log that so many killed writers do not explain."""
    ended: datetime | None = None
    for line in log.splitlines():
        if " ERROR " not in line:
            continue
        when = datetime.fromisoformat(line[:23].replace(",", "."))
        if line.endswith(WRITER_ENDED) and killed > 0:
            killed -= 1
            ended = when
        elif ": STORAGE_UNAVAILABLE" not in line or ended is None or when - ended > WRITER_AGAIN:
            yield f"the log: {line}"


def slope(values: Sequence[float]) -> float:
    """How much a series grows from one value to the next: the median of the slopes of all pairs (Theil and
    Sen), which a few odd minutes do not change."""
    return median((right - left) / (j - i) for (i, left), (j, right) in combinations(enumerate(values), 2))


def _p50(kind: str) -> Callable[[Minute], float]:
    return lambda minute: minute.p50.get(kind, 0.0)
