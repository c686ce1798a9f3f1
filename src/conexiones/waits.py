"""How much of what clients share is in use, and how long they wait for it, as metrics.

The names that are given here are values of labels: a closed set, which docs/observability.md lists.
"""

from collections.abc import Callable
from typing import Protocol

from conexiones.metrics import Histogram, Metrics


class Shared(Protocol):
    """Something of which there is only so much: `held` of `limit` are in use."""

    @property
    def held(self) -> int: ...
    @property
    def limit(self) -> int: ...


class Awaited(Shared, Protocol):
    """The same, for which `waiting` wait. `waited` is told the seconds of each wait."""

    waited: Callable[[float], None]

    @property
    def waiting(self) -> int: ...


def observe_memory(metrics: Metrics, name: str, memory: Shared) -> None:
    """Bytes of a budget."""
    for which, read in (("used", lambda: memory.held), ("limit", lambda: memory.limit)):
        _observe(metrics, f"conexiones.memory.{which}", "By", _MEMORY[which], name, "budget", read)


def observe_places(metrics: Metrics, name: str, places: Awaited) -> None:
    """Places of which each caller has one, and the waits for them."""
    for which, read in (("used", lambda: places.held), ("limit", lambda: places.limit)):
        _observe(metrics, f"conexiones.places.{which}", "{place}", _PLACES[which], name, "resource", read)
    observe_waits(metrics, name, places)


def observe_waits(metrics: Metrics, name: str, awaited: Awaited) -> None:
    """Who waits, and for how long."""
    description = "Calls and other work that wait for their turn."
    _observe(metrics, "conexiones.waiting", "{wait}", description, name, "resource", lambda: awaited.waiting)
    awaited.waited = waits(metrics, name).record


def waits(metrics: Metrics, name: str) -> Histogram:
    """How long those waited that did not get at once what has that name."""
    return metrics.histograms(
        "conexiones.wait.duration",
        "s",
        "Time that calls and other work waited for their turn, of those that had to wait.",
        ("resource",),
    ).of(name)


_MEMORY = {
    "used": "Bytes of a budget of memory that are in use.",
    "limit": "Bytes of a budget of memory.",
}
_PLACES = {
    "used": "Places that are taken: of calls, and of work of a kind that is done for a few at a time.",
    "limit": "Places that there are.",
}


def _observe(
    metrics: Metrics, name: str, unit: str, description: str, value: str, label: str, read: Callable[[], int]
) -> None:
    metrics.observe(name, unit, description, lambda: {(value,): read()}, (label,))
