"""Something of which there is only so much, and those who wait for it."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from conexiones.errors import ServerBusy
from conexiones.shares import Caller, FairLine, Shares

PRESS_SECONDS = 1.0
"""Time between two calls of `press` while somebody waits."""

HURRY_SECONDS = 2.0
HURRY_RATE = 256 << 10
"""While others wait for memory, what holds it has to go on at this rate, in bytes a second, over so many
seconds: otherwise its call is ended."""

_Entry = tuple[int, "asyncio.Future[None]"]


class Holder(Protocol):
    """Who holds some of a budget for as long as a client takes to send or to read."""

    @property
    def caller(self) -> Caller: ...

    def hurry(self) -> None:
        """Others wait, and no client holds more: ends what is too slow."""


class Budget:
    """Callers take from it and give back. Each has a share (conexiones.shares), and those who wait take turns
    by client. Belongs to one event loop.

    `places` is that of Shares. Nobody waits longer than `wait_seconds`, and at most `most_waiting` wait at a
    time, of which each client has a share, too. When somebody begins to wait, and then every PRESS_SECONDS
    while anybody does, `press` is called, and those of the `holders` hurry whose clients hold most. `waited`
    is told the seconds of each wait, whatever its end.
    """

    def __init__(
        self,
        limit: int,
        *,
        wait_seconds: float,
        places: int = 0,
        most_waiting: int = 1000,
        press: Callable[[], None] | None = None,
    ) -> None:
        self._shares = Shares(limit, places=places)
        self._wait_seconds = wait_seconds
        self._most_waiting = most_waiting
        self._on_wait = press
        self.holders: set[Holder] = set()
        self.waited: Callable[[float], None] = lambda seconds: None
        self._line: FairLine[_Entry] = FairLine()
        self._starved = False  # somebody waits within a share: nobody may overtake
        self._timer: asyncio.TimerHandle | None = None

    @property
    def limit(self) -> int:
        return self._shares.limit

    @property
    def held(self) -> int:
        return self._shares.held

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._line)

    def is_greediest(self, caller: Caller) -> bool:
        """Whether no client holds more than that of the caller."""
        return self._shares.of(caller.client) >= self._shares.most()

    def take_now(self, caller: Caller, size: int) -> bool:
        """Takes `size` if that is possible without a wait."""
        shares = self._shares
        if self._starved or shares.held + size > shares.limit or not shares.within(caller, size):
            return False
        shares.take(caller, size)
        return True

    async def take(self, caller: Caller, size: int) -> None:
        """Takes `size`, which must not be more than the limit, when it is the caller's turn. If it is
        cancelled, it takes none. Raises ServerBusy if the wait would be too long, or too many wait."""
        if self.take_now(caller, size):
            return
        if not self._may_wait(caller):
            raise ServerBusy(limit=self.limit)
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        begun = loop.time()
        entry = (size, turn)
        self._line.push(caller, entry)
        if self._shares.within(caller, size):
            self._starved = True
        if self._timer is None:
            self._press()
        try:
            async with asyncio.timeout(self._wait_seconds):
                await turn
        except (asyncio.CancelledError, TimeoutError) as error:
            if turn.done() and not turn.cancelled():
                self.give(caller, size)
            else:
                self._line.remove(caller, entry, served=False)
                self._grant()
            if isinstance(error, TimeoutError):
                raise ServerBusy(limit=self.limit) from None
            raise
        finally:
            self.waited(loop.time() - begun)

    def give(self, caller: Caller, size: int) -> None:
        """Gives back what the caller took."""
        self._shares.give(caller, size)
        if self._line:
            self._grant()

    def _may_wait(self, caller: Caller) -> bool:
        """As in Shares: a connection with few in the line finds a place beyond the share of its client."""
        mine, all_of_them = self._line.waiting(caller.client), len(self._line)
        share = (self._most_waiting - (all_of_them - mine)) // 2
        if self._line.waiting_on(caller) < self._shares.places:
            share += (share + 1) // 2
        return all_of_them < self._most_waiting and (not mine or mine < share)

    def _grant(self) -> None:
        """Gives those who wait their turns, as far as there is enough."""
        self._starved = False
        while (found := self._next()) is not None:
            caller, entry = found
            size, turn = entry
            if not self._shares.free(size):
                self._starved = True
                return
            self._line.remove(caller, entry, served=True)
            self._shares.take(caller, size)
            turn.set_result(None)

    def _next(self) -> tuple[Caller, _Entry] | None:
        """Whose turn it is, of those who wait within a share."""
        for client, heads in self._line.heads():
            if not self._shares.full(client):
                for caller, entry in heads:
                    size, turn = entry
                    if not turn.done() and self._shares.within(caller, size):
                        return caller, entry
        return None

    def _press(self) -> None:
        self._timer = None
        if not self._line:
            return
        self._timer = asyncio.get_running_loop().call_later(PRESS_SECONDS, self._press)
        if self._on_wait is not None:
            self._on_wait()
        for holder in list(self.holders):
            if self.is_greediest(holder.caller):
                holder.hurry()
