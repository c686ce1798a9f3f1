"""The rows of the bench, in a module for each kind of work. `run(bench)` adds its rows to the results."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from bench.measures import Results
from bench.peers.server_process import ServerProcess
from bench.processes import Meter
from conexiones.settings import Settings

T = TypeVar("T")

RENDITIONS, SMALL_FILES, WATCHERS, HOT_READS = "renditions", "small files", "watchers", "hot reads"
"""The kinds of work during which the memory of our server is measured, besides uploads."""


def memory(work: str) -> str:
    """The name of the row with the peak memory of our server during some work."""
    return f"memory, {work}"


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

    @contextmanager
    def memory(self, server: ServerProcess, work: str) -> Iterator[None]:
        """Adds a row with the peak memory of our server in the block, as a share of what it may have by
        default."""
        with Meter(server.pid, every=0.5) as meter:
            yield
        allowed = Settings.load({}).memory
        assert allowed
        share = meter.peak / allowed * 100
        self.results.add(memory(work), "ours", share, unit="% of its bound")
