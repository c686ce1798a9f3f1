"""What is counted and measured of requests to an object store."""

import asyncio

from conexiones.metrics import Metrics


class Requests:
    """Belongs to one event loop, but for `soon`."""

    def __init__(self, metrics: Metrics) -> None:
        self._durations = metrics.histograms(
            "conexiones.objects.request.duration",
            "s",
            "Time of a request to the object store, with the wait for a turn and with further attempts.",
            ("request",),
        )
        self._failures = metrics.counters(
            "conexiones.objects.request.failures",
            "{request}",
            "Requests to which the object store gave no answer in time, or an error.",
            ("request",),
        )
        self._sizes = metrics.counters(
            "conexiones.objects.request.size",
            "By",
            "Bytes that were put into the object store, or got from it.",
            ("request",),
        )
        for request in ("PUT", "GET", "HEAD", "LIST", "DELETE"):
            self._durations.of(request)
            self._failures.of(request)
        for request in ("PUT", "GET"):
            self._sizes.of(request)
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """On the event loop, before `soon` is used."""
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        self._loop = None

    def count(self, request: str, seconds: float, size: int, *, failed: bool) -> None:
        """A request that has ended, for so many bytes."""
        self._durations.of(request).record(seconds)
        if failed:
            self._failures.of(request).value += 1
        elif size:
            self._sizes.of(request).value += size

    def soon(self, request: str, seconds: float, size: int, *, failed: bool) -> None:
        """The same, for a thread."""
        if (loop := self._loop) is not None and not loop.is_closed():
            loop.call_soon_threadsafe(lambda: self.count(request, seconds, size, failed=failed))
