"""Measuring contenders in turns, within one run, and collecting the results."""

import os
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


class Wrong(Exception):
    """The bytes that arrived are not those that were sent, so the measurement does not count."""


@dataclass
class Results:
    """The measurements of one piece of the bench by row and contender, in the order in which they were made.

    commit: the checkout that was measured. minutes: how long it took.
    failure: why the newest attempt at the piece failed; the measurements are of an earlier one then, or none.
    """

    quick: bool
    rounds: int
    machine: str
    commit: str = ""
    minutes: float = 0.0
    failure: str = ""
    units: dict[str, str] = field(default_factory=dict)
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, row: str, contender: str, value: float, *, unit: str) -> None:
        self.units[row] = unit
        self.values.setdefault(row, {}).setdefault(contender, []).append(value)
        print(f"  {row} · {contender}: {value:.4g} {unit}", flush=True)

    def note(self, text: str) -> None:
        """Records, once, something that a reader has to know, such as which contender was left out."""
        if text not in self.notes:
            self.notes.append(text)
            print(f"  {text}", flush=True)

    def median(self, row: str, contender: str) -> float:
        """The median of a contender in a row. Raises KeyError if it was not measured."""
        return statistics.median(self.values[row][contender])

    def as_json(self) -> dict[str, Any]:
        facts = {name: getattr(self, name) for name in _FACTS}
        rows = {
            row: {"unit": self.units[row], "contenders": contenders}
            for row, contenders in self.values.items()
        }
        return {**facts, "rows": rows}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Results":
        results = cls(**{name: data[name] for name in _FACTS})
        for name, row in data["rows"].items():
            results.units[name] = row["unit"]
            results.values[name] = row["contenders"]
        return results


_FACTS = ("quick", "rounds", "machine", "commit", "minutes", "failure", "notes")


def interleave(
    results: Results,
    row: str,
    contenders: Mapping[str, Callable[[int], float]],
    *,
    unit: str,
    warm: bool = False,
    rounds: int | None = None,
) -> None:
    """Runs the contenders in turns (A B C A B C …), each with the number of the round, and records the
    results.

    warm: a round with the number -1 comes first and does not count.
    rounds: by default those of the run. More are needed where turns are short and the contenders are close.
    """
    for number in range(-1 if warm else 0, rounds or results.rounds):
        for name, run in contenders.items():
            os.sync()  # no contender pays for writing the dirty pages that another left behind
            value = run(number)
            if number >= 0:
                results.add(row, name, value, unit=unit)
