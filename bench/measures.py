"""Measuring contenders in turns, within one run, and collecting the results."""

import os
import statistics
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil


class Wrong(Exception):
    """The bytes that arrived are not those that were sent, so the measurement does not count."""


@dataclass
class Results:
    """The measurements by row and contender, in the order in which they were made."""

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
        """Records, once, something that a reader has to know, such as which contender was left out."""
        if text not in self.notes:
            self.notes.append(text)
            print(f"  {text}", flush=True)

    def median(self, row: str, contender: str) -> float:
        """The median of a contender in a row. Raises KeyError if it was not measured."""
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


def tree(root: psutil.Process) -> list[psutil.Process]:
    """A process and all its descendants."""
    return [root, *root.children(recursive=True)]


class Memory(threading.Thread):
    """The peak memory of a process and all its descendants, each shared page counted once (PSS), in bytes.

    For our server these are the supervisor, Envoy with the application inside, the catalog's writer and the
    decoders.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._root = psutil.Process(pid)
        self._ended = threading.Event()
        self.peak = 0

    def run(self) -> None:
        while not self._ended.wait(0.1):
            self.measure()

    def measure(self) -> None:
        total = 0
        for process in tree(self._root):
            try:
                total += process.memory_full_info().pss
            except psutil.Error:  # the process has just ended
                continue
        self.peak = max(self.peak, total)


@contextmanager
def memory(pid: int) -> Iterator[Memory]:
    """Watches the memory of a process and its descendants while the block runs."""
    meter = Memory(pid)
    meter.measure()
    meter.start()
    try:
        yield meter
    finally:
        meter._ended.set()
        meter.join()
