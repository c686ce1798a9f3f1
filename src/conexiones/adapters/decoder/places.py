"""Who may have a decoder next. Belongs to one event loop, and knows nothing of processes.

Clients take turns, and in each client its connections do. Small and large work waits in a line each, which
take turns, too. A worker that large work has is gone for seconds, so there are limits to that:

- With two workers or more, large work never has the last one: that is kept for small work.
- With four workers or more, the large work of one client leaves one of the others to other clients.
- With one worker, small work comes first after large work, for as long as the large work took.

So small work waits for one piece of large work at most, and a client for one piece of another's work, if
nobody else waits.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from conexiones.errors import ConexionesError, ServerBusy, ServerDraining
from conexiones.shares import Caller, FairLine


@dataclass(eq=False, slots=True)
class Place:
    """The right to use a worker, for work that is small or large, since a time of the event loop."""

    caller: Caller
    large: bool
    since: float


@dataclass(eq=False, slots=True)
class _Waiting:
    large: bool
    granted: asyncio.Future[Place] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Places:
    """The places at `workers` workers. `wait_seconds` limits the wait for one; None does not."""

    def __init__(self, workers: int, *, wait_seconds: float | None) -> None:
        self._workers = workers
        self._wait_seconds = wait_seconds
        self._most_large = max(1, workers - 1)
        self._most_large_of_one = max(1, self._most_large - 1)
        self._held: set[Place] = set()
        self._small: FairLine[_Waiting] = FairLine()
        self._large: FairLine[_Waiting] = FairLine()
        self._large_next = False  # whose turn it is, where small and large work wait
        self._small_until = 0.0  # with one worker: until then small work comes first

    def __len__(self) -> int:
        """How many wait."""
        return len(self._small) + len(self._large)

    async def take(self, caller: Caller, *, large: bool) -> Place:
        """Waits for a place, which has to be given back. Raises ServerBusy, and ServerDraining after `close`.

        If it is cancelled, it takes none.
        """
        waiting = _Waiting(large)
        line = self._large if large else self._small
        line.push(caller, waiting)
        self._serve()
        try:
            async with asyncio.timeout(self._wait_seconds):
                return await waiting.granted
        except (asyncio.CancelledError, TimeoutError, ConexionesError) as error:
            if waiting.granted.done() and not waiting.granted.cancelled():
                if waiting.granted.exception() is None:
                    self.give(waiting.granted.result())
            else:
                line.remove(caller, waiting, served=False)
                self._serve()  # those behind it may be of another client
            if isinstance(error, TimeoutError):
                raise ServerBusy from error
            raise

    def give(self, place: Place) -> None:
        """Gives a place back."""
        self._held.remove(place)
        if place.large and self._workers == 1:
            now = asyncio.get_running_loop().time()
            self._small_until = now + (now - place.since)
        self._serve()

    def outgrow(self, place: Place) -> bool:
        """Counts what was small as large from now on. False if there may be no more large work: then it has
        to give way."""
        if self._workers > 1 and not self._room_for_large(place.caller):
            return False
        place.large = True
        return True

    def close(self) -> None:
        """Sends away all who wait."""
        for line in (self._small, self._large):
            while line:
                for caller, waiting in line.turns():
                    line.remove(caller, waiting, served=True)
                    if not waiting.granted.done():
                        waiting.granted.set_exception(ServerDraining())

    def _serve(self) -> None:
        while len(self._held) < self._workers and (found := next(self._candidates(), None)):
            caller, waiting = found
            line = self._large if waiting.large else self._small
            line.remove(caller, waiting, served=True)
            self._large_next = not waiting.large
            place = Place(caller, waiting.large, asyncio.get_running_loop().time())
            self._held.add(place)
            waiting.granted.set_result(place)

    def _candidates(self) -> Iterator[tuple[Caller, _Waiting]]:
        """Those who may have a place now, in the order of their turns."""
        small, large = self._small.turns(), self._large.turns()
        large = [turn for turn in large if self._room_for_large(turn[0])]
        if self._workers == 1:
            large_first = self._large_next and asyncio.get_running_loop().time() >= self._small_until
        else:
            large_first = self._large_next
        yield from large + small if large_first else small + large

    def _room_for_large(self, caller: Caller) -> bool:
        callers = [place.caller.client for place in self._held if place.large]
        return len(callers) < self._most_large and callers.count(caller.client) < self._most_large_of_one
