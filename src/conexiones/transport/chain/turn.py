"""The turn of a call with one request and one reply. It may have to wait for it once its request is there."""

from conexiones.shares import Caller
from conexiones.transport.chain.budget import Budget


class Turn:
    """One of `places` for a call that is worked on. A call whose request is still coming in has none: clients
    that send slowly would keep others waiting."""

    __slots__ = ("_caller", "_places", "_taken")

    def __init__(self, places: Budget, caller: Caller) -> None:
        self._places = places
        self._caller = caller
        self._taken = False

    async def take(self) -> None:
        """Waits for the turn. Raises ServerBusy."""
        await self._places.take(self._caller, 1)
        self._taken = True

    def give(self) -> None:
        """Lets the next call have the turn. Giving it again is a no-op."""
        if self._taken:
            self._taken = False
            self._places.give(self._caller, 1)
