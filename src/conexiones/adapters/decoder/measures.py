"""What is counted of a pool of decoders."""

from collections.abc import Callable
from functools import partial
from typing import Final, Literal, Protocol, get_args

from conexiones.errors import NoPreview, PreviewProblem
from conexiones.metrics import Labels, Metrics
from conexiones.waits import waits

Task = Literal["preview", "describe", "render"]

Death = Literal["MEMORY", "SECONDS", "CRASH", "IDLE", "STOPPED", "STORAGE"]
"""Why a worker has ended: it took too much memory or too long, it crashed, it died while it did nothing, its
work was not needed any more or made room for other work, or its image could not be written. The end of the
pool is none of them."""

DEATHS: Final[tuple[Death, ...]] = get_args(Death)

Outcome = PreviewProblem | Literal["OK", "STOPPED", "ERROR"]


class Pool(Protocol):
    """What can be asked of a pool."""

    @property
    def busy(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def limit(self) -> int: ...
    def pids(self) -> list[int]: ...


class Measures:
    """Of the pool of that name. Belongs to the event loop. `waited` takes the seconds of each wait for a
    worker."""

    def __init__(self, metrics: Metrics, name: str, pool: Pool) -> None:
        self._name = name
        self._work = metrics.histograms(
            "conexiones.decoder.work.duration",
            "s",
            "Time that a decoder took for a piece of work, by its kind and outcome.",
            ("pool", "task", "outcome"),
        )
        for task in get_args(Task):
            self._work.of(name, task, "OK")
        deaths = metrics.counters(
            "conexiones.decoder.deaths", "{process}", "Decoders that have ended, by cause.", ("pool", "cause")
        )
        self._deaths = {cause: deaths.of(name, cause) for cause in DEATHS}
        self.waited = waits(metrics, f"{name}_decoders").record
        gauges = {
            "busy": ("Decoders that have work.", lambda: pool.busy),
            "limit": ("The most decoders.", lambda: pool.limit),
            "waiting": ("Pieces of work that wait for a decoder.", lambda: pool.waiting),
            "processes": ("Processes of decoders.", lambda: len(pool.pids())),
        }
        for gauge, (description, read) in gauges.items():
            metrics.observe(
                f"conexiones.decoder.{gauge}",
                "{work}" if gauge == "waiting" else "{process}",
                description,
                partial(_of, name, read),
                ("pool",),
            )

    def died(self, cause: Death) -> None:
        self._deaths[cause].value += 1

    def worked(self, task: Task, seconds: float, error: BaseException | None, *, stopped: bool) -> None:
        """A piece of work has ended, which a worker had for so long."""
        outcome: Outcome = "OK"
        if stopped:
            outcome = "STOPPED"
        elif isinstance(error, NoPreview):
            outcome = error.cause
        elif error is not None:
            outcome = "ERROR"
        self._work.of(self._name, task, outcome).record(seconds)


def _of(name: str, read: Callable[[], int]) -> dict[Labels, float]:
    return {(name,): read()}
