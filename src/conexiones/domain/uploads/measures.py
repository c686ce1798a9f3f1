"""What is counted of resumable uploads."""

from typing import Final, get_args

from conexiones.metrics import Metrics
from conexiones.ports.records import UploadState

OUTCOMES: Final[tuple[UploadState, ...]] = tuple(state for state in get_args(UploadState) if state != "OPEN")


class Measures:
    """`created`, `resumed` and `fenced` are counters. An upload is resumed when a new writer goes on behind
    the bytes of another; a call is fenced when it loses its upload to another writer."""

    def __init__(self, metrics: Metrics) -> None:
        self.created = metrics.counter(
            "conexiones.uploads.created", "{upload}", "Resumable uploads that were begun."
        )
        self.resumed = metrics.counter(
            "conexiones.uploads.resumed",
            "{upload}",
            "New writers that went on behind the bytes of another one.",
        )
        self.fenced = metrics.counter(
            "conexiones.uploads.fenced", "{call}", "Calls that lost their upload to a newer writer."
        )
        ended = metrics.counters(
            "conexiones.uploads.ended",
            "{upload}",
            "Resumable uploads that have ended, by outcome.",
            ("outcome",),
        )
        self._ended = {state: ended.of(state) for state in OUTCOMES}

    def ended(self, state: UploadState, number: int = 1) -> None:
        """So many uploads have ended in that state."""
        self._ended[state].value += number
