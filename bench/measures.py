"""How things are measured: in turns, within one run, with every byte checked."""

import os
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


class Wrong(Exception):
    """What arrived is not what was sent: a measurement that does not count."""


@dataclass
class Results:
    """Measurements by row and contender, in the order in which they were taken."""

    quick: bool
    rounds: int
    machine: str
    units: dict[str, str] = field(default_factory=dict)
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, row: str, contender: str, value: float, *, unit: str) -> None:
        self.units[row] = unit
        self.values.setdefault(row, {}).setdefault(contender, []).append(value)
        print(f"  {row} · {contender}: {value:.4g} {unit}", flush=True)

    def note(self, text: str) -> None:
        """Says once what a reader has to know, such as who was left out."""
        if text not in self.notes:
            self.notes.append(text)
            print(f"  {text}", flush=True)

    def median(self, row: str, contender: str) -> float:
        """Raises KeyError if that was not measured."""
        return statistics.median(self.values[row][contender])

    def as_json(self) -> dict[str, Any]:
        return {
            "quick": self.quick,
            "rounds": self.rounds,
            "machine": self.machine,
            "notes": self.notes,
            "rows": {
                row: {"unit": self.units[row], "contenders": contenders}
                for row, contenders in self.values.items()
            },
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Results":
        results = cls(
            quick=data["quick"], rounds=data["rounds"], machine=data["machine"], notes=data["notes"]
        )
        for name, row in data["rows"].items():
            results.units[name] = row["unit"]
            results.values[name] = row["contenders"]
        return results


def interleave(
    results: Results,
    row: str,
    contenders: Mapping[str, Callable[[int], float]],
    *,
    unit: str,
    warm: bool = False,
    rounds: int | None = None,
) -> None:
    """Runs the contenders in turns (A B C A B C …), each with the number of the round; keeps what they give.

    `warm`: a round, numbered -1, goes before and does not count. `rounds`: those of the run, if not given;
    more where turns are short, and what is compared is close to each other.
    """
    for number in range(-1 if warm else 0, rounds or results.rounds):
        for name, run in contenders.items():
            os.sync()  # nobody pays for what another left to be written
            value = run(number)
            if number >= 0:
                results.add(row, name, value, unit=unit)
