"""How long the server waits for clients: with patience while nobody else is in need, and less when others
wait for what they hold."""

import asyncio

from conexiones.transport.chain.call import Call

LOOK_SECONDS = 1.0
"""The longest time between two looks at all clients."""

SILENT_SECONDS = 1.0
"""While others wait for the place of a stream, it may be silent no longer than this."""


class Patience:
    """The calls whose clients are watched. Belongs to one event loop."""

    def __init__(self, *, stall_seconds: float, least_rate: float, idle_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        self._least_rate = least_rate
        self._idle_seconds = idle_seconds
        self._look_seconds = min(LOOK_SECONDS, *(one / 4 for one in (stall_seconds, idle_seconds) if one))
        self._calls: set[Call] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, call: Call) -> None:
        """Watches a call from now on."""
        self._calls.add(call)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._look_seconds, self._look)

    def remove(self, call: Call) -> None:
        self._calls.discard(call)

    def silent(self) -> list[Call]:
        """The streams that have asked nothing for SILENT_SECONDS, those that are silent for longest first."""
        found = [
            (silence, call) for call in self._calls if (silence := call.body.silence() or 0) > SILENT_SECONDS
        ]
        return [call for _, call in sorted(found, key=lambda pair: pair[0], reverse=True)]

    def _look(self) -> None:
        self._timer = None
        for call in self._calls:
            call.body.check(
                stall_seconds=self._stall_seconds,
                least_rate=self._least_rate,
                idle_seconds=self._idle_seconds,
            )
            if call.outgoing is not None:
                call.outgoing.check(stall_seconds=self._stall_seconds, least_rate=self._least_rate)
        if self._calls:
            self._timer = asyncio.get_running_loop().call_later(self._look_seconds, self._look)
