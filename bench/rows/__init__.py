"""The rows of the bench, in a module for each kind of work. `run(bench)` adds its rows to the results."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from bench.measures import Results

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bench:
    """One run: the folder in which it may write, and its results."""

    root: Path
    results: Results

    def size(self, full: T, quick: T) -> T:
        """The first in a full run, the second in a quick one."""
        return quick if self.results.quick else full

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """An empty folder on the disk that is measured, removed when the block ends."""
        with TemporaryDirectory(prefix="bench-", dir=self.root) as name:
            yield Path(name)
