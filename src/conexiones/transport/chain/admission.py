"""Admission: limits the calls at a time, and refuses new ones while the server drains."""

from collections.abc import Callable

from conexiones.errors import ServerBusy, ServerDraining
from conexiones.transport.chain.call import Call, Endpoint


class Admission:
    """A step of the chain. While the server drains, `on_idle` is called whenever no call is left for
    which the drain waits."""

    def __init__(self, max_calls: int, on_idle: Callable[[], None]) -> None:
        self._max_calls = max_calls
        self._on_idle = on_idle
        self._calls = 0
        self._waited_for = 0  # calls that a drain waits for
        self._draining = False

    async def __call__(self, call: Call, rest: Endpoint) -> None:
        """Raises ServerDraining and ServerBusy."""
        exempt = call.route.exempt
        if "admission" in exempt:
            await rest(call)
            return
        if self._draining:
            raise ServerDraining
        if self._calls >= self._max_calls:
            raise ServerBusy(limit=self._max_calls)
        waited_for = "drain" not in exempt
        self._calls += 1
        self._waited_for += waited_for
        try:
            await rest(call)
        finally:
            self._calls -= 1
            self._waited_for -= waited_for
            self._say_if_idle()

    def drain(self) -> None:
        """Admits no more calls, for good."""
        self._draining = True
        self._say_if_idle()

    def _say_if_idle(self) -> None:
        if self._draining and not self._waited_for:
            self._on_idle()
