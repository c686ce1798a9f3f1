"""The memory for bytes on their way in, of which each client has a share."""

from collections.abc import Callable

from conexiones.shares import Caller, Shares

MEMORY = 192 << 20
UPLOADS = 1000
"""By default, so much memory is for so many uploads."""

UNIT = 256 << 10

LEAST = 4 << 10, 64 << 10
"""The least and the most bytes that each upload may have without asking."""


class Memory:
    """Belongs to one event loop. Two thirds of the memory are given out in units; of the rest, each of
    `uploads` may have `least` bytes, however many of the units are taken."""

    def __init__(self, *, memory: int = MEMORY, uploads: int = UPLOADS) -> None:
        low, high = LEAST
        self.least = max(low, min(high, memory // 3 // uploads))
        units = max(1, memory * 2 // 3 // UNIT)
        self.limit = units * UNIT
        self._shares = Shares(units)
        self.waited: Callable[[float], None] = lambda seconds: None
        """Is told the seconds of each wait for memory."""

    @property
    def held(self) -> int:
        return self._shares.held * UNIT

    def take(self, caller: Caller) -> bool:
        """Whether there is a unit for the caller, who has it then."""
        if not self._shares.free(1) or self._shares.full(caller.client):
            return False
        self._shares.take(caller, 1)
        return True

    def give(self, caller: Caller, units: int) -> None:
        if units:
            self._shares.give(caller, units)
