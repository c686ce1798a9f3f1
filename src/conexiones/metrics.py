"""What the server counts and measures about itself, for whoever exports it.

The instruments are those of OpenTelemetry (counter, histogram, and gauges that are read when somebody looks),
with its names and units. They are our own because they stand on the way of every call: adding to a counter is
an addition to an attribute. Exporters read all of them with `Metrics.read`.

Counters and histograms belong to the event loop. What threads and other processes count is read with
`observe`.

Parts that count the same thing ask for the same instrument, and share it.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

Labels = tuple[str, ...]

Kind = Literal["counter", "gauge"]

MOST_SERIES = 1000
"""Sets of labels that an instrument keeps apart. Further ones are counted together, as OVERFLOW: labels are
to come from small closed sets, and a mistake must not cost memory."""

OVERFLOW = "other"

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Upper bounds of the buckets of times."""

SIZES = tuple(float(4**power) for power in range(4, 18))
"""Upper bounds of the buckets of sizes in bytes, from 256 to 16 GiB."""

NUMBERS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
"""Upper bounds of the buckets of small numbers, such as the members of a group."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """`name` is dotted, as OpenTelemetry names things; `unit` is one of UCUM: "s", "By", "{call}"."""

    name: str
    unit: str
    description: str
    labels: Labels = ()


class Counter:
    """A number that only grows: `counter.value += 1`."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0


UNCOUNTED = Counter()
"""For those who were given no counter: what is added to it goes nowhere."""


class Histogram:
    """How many values were up to each of the bounds; the last count is of those above all bounds."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def record(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value


class Counters:
    """An instrument with a counter for each set of labels."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.series: dict[Labels, Counter] = {}

    def of(self, *labels: str) -> Counter:
        """The counter of these labels, in the order of the instrument's."""
        return self.series.get(labels) or _made(self.instrument, self.series, labels, Counter)


class Histograms:
    """An instrument with a histogram for each set of labels."""

    def __init__(self, instrument: Instrument, bounds: tuple[float, ...]) -> None:
        self.instrument = instrument
        self.bounds = bounds
        self.series: dict[Labels, Histogram] = {}

    def of(self, *labels: str) -> Histogram:
        """The histogram of these labels, in the order of the instrument's."""
        return self.series.get(labels) or _made(
            self.instrument, self.series, labels, lambda: Histogram(self.bounds)
        )


@dataclass(frozen=True, slots=True)
class Numbers:
    """What the counters or gauges of an instrument say at one moment."""

    instrument: Instrument
    kind: Kind
    series: Mapping[Labels, float]


@dataclass(frozen=True, slots=True)
class Distribution:
    """What the histograms of an instrument say at one moment: for each set of labels the counts of the
    buckets, and the sum of all values."""

    instrument: Instrument
    bounds: tuple[float, ...]
    series: Mapping[Labels, tuple[tuple[int, ...], float]]


class _Observed:
    """An instrument that is read where the numbers are: from each who keeps some of its series."""

    def __init__(self, instrument: Instrument, kind: Kind) -> None:
        self.instrument = instrument
        self.kind: Kind = kind
        self.reads: list[Callable[[], float | Mapping[Labels, float]]] = []


_Instrument = TypeVar("_Instrument", Counters, Histograms, _Observed)
_Series = TypeVar("_Series", Counter, Histogram)


class Metrics:
    """All instruments of one server."""

    def __init__(self) -> None:
        self._instruments: dict[str, Counters | Histograms | _Observed] = {}

    def counters(self, name: str, unit: str, description: str, labels: Labels = ()) -> Counters:
        return self._add(Counters(Instrument(name, unit, description, labels)))

    def counter(self, name: str, unit: str, description: str) -> Counter:
        """A counter without labels."""
        return self.counters(name, unit, description).of()

    def histograms(
        self,
        name: str,
        unit: str,
        description: str,
        labels: Labels = (),
        *,
        bounds: tuple[float, ...] = SECONDS,
    ) -> Histograms:
        return self._add(Histograms(Instrument(name, unit, description, labels), bounds))

    def histogram(
        self, name: str, unit: str, description: str, *, bounds: tuple[float, ...] = SECONDS
    ) -> Histogram:
        """A histogram without labels."""
        return self.histograms(name, unit, description, bounds=bounds).of()

    def observe(
        self,
        name: str,
        unit: str,
        description: str,
        read: Callable[[], float | Mapping[Labels, float]],
        labels: Labels = (),
        *,
        kind: Kind = "gauge",
    ) -> None:
        """Numbers that somebody else keeps. `read` gives the number, or with labels one for each set of them.
        It is called on the event loop whenever somebody looks, so it must be quick. Several may keep some of
        the series each."""
        self._add(_Observed(Instrument(name, unit, description, labels), kind)).reads.append(read)

    def read(self) -> list[Numbers | Distribution]:
        """What all instruments say now, by their names."""
        return [_read(self._instruments[name]) for name in sorted(self._instruments)]

    def _add(self, one: _Instrument) -> _Instrument:
        """The instrument, or the same one that was made before. ValueError if another has its name."""
        there = self._instruments.setdefault(one.instrument.name, one)
        if isinstance(there, type(one)) and _shape(there) == _shape(one):
            return there
        raise ValueError(f"there are two instruments named {one.instrument.name}")


def _shape(one: Counters | Histograms | _Observed) -> tuple[object, ...]:
    """What two have in common that are the same instrument."""
    return one.instrument, getattr(one, "bounds", None), getattr(one, "kind", None)


def _made(
    instrument: Instrument, series: dict[Labels, _Series], labels: Labels, make: Callable[[], _Series]
) -> _Series:
    if len(labels) != len(instrument.labels):
        raise ValueError(f"{instrument.name} has the labels {instrument.labels}, and not {labels}")
    if len(series) >= MOST_SERIES:
        labels = (OVERFLOW,) * len(labels)
    return series.setdefault(labels, make())


def _read(one: Counters | Histograms | _Observed) -> Numbers | Distribution:
    if isinstance(one, Counters):
        return Numbers(one.instrument, "counter", {labels: each.value for labels, each in one.series.items()})
    if isinstance(one, Histograms):
        return Distribution(
            one.instrument,
            one.bounds,
            {labels: (tuple(each.counts), each.sum) for labels, each in one.series.items()},
        )
    series: dict[Labels, float] = {}
    for read in one.reads:
        found = read()
        series.update(found if isinstance(found, Mapping) else {(): found})
    return Numbers(one.instrument, one.kind, series)
