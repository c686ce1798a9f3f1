"""Figures in the text format of Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats).

Names change as OpenTelemetry says (https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics):
dots become underscores, the unit is added in words, and counters end with `_total`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.utils import floatToGoString

from conexiones.metrics import Distribution, Instrument, Numbers

_UNITS = {"s": "seconds", "ms": "milliseconds", "By": "bytes", "%": "percent"}
"""In words. Units in braces, such as {call}, only say what is counted, and have none."""


def exposition(figures: Iterable[Numbers | Distribution], target: Mapping[str, str]) -> bytes:
    """The text. `target` are the attributes of the resource: what the figures are of."""
    return generate_latest(_Collected(figures, target))


def name_of(instrument: Instrument, kind: str) -> str:
    """The instrument's name in queries, of a "counter", "gauge" or "histogram"; the parts of a histogram add
    `_bucket`, `_count` and `_sum` to it."""
    name = _plain(instrument.name)
    unit = _UNITS.get(instrument.unit, "")
    if instrument.unit == "1" and kind == "gauge":
        unit = "ratio"
    if unit and not name.endswith(f"_{unit}"):
        name += f"_{unit}"
    return f"{name}_total" if kind == "counter" else name


class _Collected:
    """A Collector of the client library."""

    def __init__(self, figures: Iterable[Numbers | Distribution], target: Mapping[str, str]) -> None:
        self._figures = figures
        self._target = {_plain(name): value for name, value in target.items()}

    def collect(self) -> Iterator[Metric]:
        info = GaugeMetricFamily("target_info", "What the figures are of.", labels=list(self._target))
        info.add_metric(list(self._target.values()), 1)
        yield info
        yield from map(_family, self._figures)


def _family(one: Numbers | Distribution) -> Metric:
    instrument = one.instrument
    names = [_plain(name) for name in instrument.labels]
    if isinstance(one, Distribution):
        name = name_of(instrument, "histogram")
        histogram = HistogramMetricFamily(name, instrument.description, labels=names)
        bounds = [*map(floatToGoString, one.bounds), "+Inf"]
        for labels, (counts, total) in one.series.items():
            histogram.add_metric(labels, list(zip(bounds, _summed(counts), strict=True)), total)
        return histogram
    kind = CounterMetricFamily if one.kind == "counter" else GaugeMetricFamily
    family = kind(name_of(instrument, one.kind), instrument.description, labels=names)
    for labels, value in one.series.items():
        family.add_metric(labels, value)
    return family


def _summed(counts: Iterable[int]) -> Iterator[int]:
    """Of each bucket, how many are in it and in those below."""
    total = 0
    for count in counts:
        total += count
        yield total


def _plain(name: str) -> str:
    """A name that Prometheus takes. Attributes of the resource have names that operators give."""
    name = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return name if name[:1].isalpha() else f"key_{name}"
