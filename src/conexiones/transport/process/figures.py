"""What `Metrics.read` gives, as JSON for the line between the application and the supervisor."""

from typing import Any

from conexiones.metrics import Distribution, Instrument, Numbers


def packed(figures: list[Numbers | Distribution]) -> list[Any]:
    return [_packed(each) for each in figures]


def unpacked(figures: list[Any]) -> list[Numbers | Distribution]:
    return [_unpacked(each) for each in figures]


def _packed(one: Numbers | Distribution) -> dict[str, Any]:
    instrument = one.instrument
    return {
        "instrument": [instrument.name, instrument.unit, instrument.description, instrument.labels],
        "series": list(one.series.items()),
        **({"kind": one.kind} if isinstance(one, Numbers) else {"bounds": one.bounds}),
    }


def _unpacked(found: dict[str, Any]) -> Numbers | Distribution:
    name, unit, description, labels = found["instrument"]
    instrument = Instrument(name, unit, description, tuple(labels))
    if "kind" in found:
        numbers = {tuple(labels): value for labels, value in found["series"]}
        return Numbers(instrument, found["kind"], numbers)
    counts = {tuple(labels): (tuple(counts), total) for labels, (counts, total) in found["series"]}
    return Distribution(instrument, tuple(found["bounds"]), counts)
