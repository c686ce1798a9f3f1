"""Who may have a decoder next. Belongs to one event loop, and knows nothing of processes.

It is the turn of the client that has had the workers for the shortest time of late, and of those who had them
about as long of the one that was served longest ago; in each client its connections take turns. Small and
large work waits in a line each, which take turns, too. A worker that large work has is gone for seconds, so
there are limits to that:

- With two workers or more, large work never has the last one: that is kept for small work.
- With four workers or more, the large work of one client leaves one of the others to other clients.
- With one worker, small work comes first after large work, for as long as the large work took.
- How large work is, is an estimate. All work of a client counts as large for SLOW_SECONDS after a piece of it
  was thought small and was not.

So small work waits for one piece of large work at most, and a client for one piece of another's work, if
nobody else waits.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from conexiones.errors import ConexionesError, ServerBusy, ServerDraining
from conexiones.shares import SERVER, Caller, FairLine

_REMEMBERED = 4096
"""Clients and connections of which it is known when they were served last."""

_HALF_LIFE = 10.0
"""Seconds until half of what a client has had no longer counts."""

_ABOUT = 1.0
"""Clients that have had workers about as long, in seconds, are equal."""

SLOW_SECONDS = 30.0
"""How long all work of a client counts as large after a piece of it was thought small and was not."""


@dataclass(eq=False, slots=True)
class Place:
    """The right to use a worker, for work that is small or large, since a time of the event loop."""

    caller: Caller
    large: bool
    since: float


@dataclass(eq=False, slots=True)
class _Waiting:
    large: bool
    in_line: bool = True
    granted: asyncio.Future[Place] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Places:
    """The places at `workers` workers. `wait_seconds` limits the wait for one; None does not. `waited` is
    told the seconds of each wait."""

    def __init__(self, workers: int, *, wait_seconds: float | None) -> None:
        self.limit = workers
        self.waited: Callable[[float], None] = lambda seconds: None
        self._workers = workers
        self._wait_seconds = wait_seconds
        self._most_large = max(1, workers - 1)
        self._most_large_of_one = max(1, self._most_large - 1)
        self._held: set[Place] = set()
        # Lines for small (False) and large work.
        self._lines: dict[bool, FairLine[_Waiting]] = {False: FairLine(), True: FairLine()}
        self._served: OrderedDict[tuple[bool, str | Caller], int] = OrderedDict()  # when, by a count
        self._slow: OrderedDict[str, float] = OrderedDict()  # until when the work of a client counts as large
        self._used: OrderedDict[str, tuple[float, float]] = OrderedDict()  # seconds of workers, and when
        self._count = 0
        self._large_next = False  # whose turn it is, where small and large work wait
        self._small_until = 0.0  # with one worker: until then small work comes first

    def __len__(self) -> int:
        """How many wait."""
        return sum(map(len, self._lines.values()))

    @property
    def held(self) -> int:
        """Places that are taken."""
        return len(self._held)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self)

    async def take(self, caller: Caller, *, large: bool) -> Place:
        """Waits for a place, which has to be given back. Raises ServerBusy, and ServerDraining after `close`.

        If it is cancelled, it takes none.
        """
        waiting = _Waiting(large)
        line = self._lines[large]
        line.push(caller, waiting)
        self._serve()
        loop = asyncio.get_running_loop()
        begun = None if waiting.granted.done() else loop.time()
        try:
            # The work of the server itself may wait: it would only come again.
            async with asyncio.timeout(None if caller == SERVER else self._wait_seconds):
                return await waiting.granted
        except (asyncio.CancelledError, TimeoutError, ConexionesError) as error:
            if waiting.in_line:
                line.remove(caller, waiting, served=False)
                self._serve()  # for those that were behind it
            elif not waiting.granted.cancelled() and not waiting.granted.exception():
                self.give(waiting.granted.result())
            if isinstance(error, TimeoutError):
                raise ServerBusy from error
            raise
        finally:
            if begun is not None:
                self.waited(loop.time() - begun)

    def give(self, place: Place) -> None:
        """Gives a place back."""
        self._held.remove(place)
        self._use(place)
        if place.large and self._workers == 1:
            now = asyncio.get_running_loop().time()
            self._small_until = now + (now - place.since)
        self._serve()

    def _is_large(self, caller: Caller, waiting: _Waiting) -> bool:
        """Whether work counts as large now."""
        if waiting.large:
            return True
        until = self._slow.get(caller.client)
        if until is None:
            return False
        if until > asyncio.get_running_loop().time():
            return True
        del self._slow[caller.client]
        return False

    def outgrow(self, place: Place) -> bool:
        """Counts what was small as large from now on. False if there may be no more large work: then it has
        to give way."""
        if self._workers > 1 and not self._room_for_large(place.caller):
            return False
        place.large = True
        return True

    def _use(self, place: Place) -> None:
        client, now = place.caller.client, asyncio.get_running_loop().time()
        self._used[client] = (self._used_by(client) + now - place.since, now)
        self._used.move_to_end(client)
        if len(self._used) > _REMEMBERED:
            self._used.popitem(last=False)

    def _used_by(self, client: str) -> float:
        """How long a client has had workers, where half is forgotten after each _HALF_LIFE."""
        seconds, when = self._used.get(client, (0.0, 0.0))
        if not seconds:
            return 0.0
        return float(seconds * 0.5 ** ((asyncio.get_running_loop().time() - when) / _HALF_LIFE))

    def misjudged(self, place: Place) -> None:
        """What was thought small is much work. For a while, all work of its client counts as large."""
        if place.caller != SERVER:
            self._slow[place.caller.client] = asyncio.get_running_loop().time() + SLOW_SECONDS
            self._slow.move_to_end(place.caller.client)
            if len(self._slow) > _REMEMBERED:
                self._slow.popitem(last=False)

    def close(self) -> None:
        """Sends away all who wait."""
        for line in self._lines.values():
            while line:
                for caller, waiting in line.turns():
                    line.remove(caller, waiting, served=True)
                    waiting.in_line = False
                    if not waiting.granted.done():
                        waiting.granted.set_exception(ServerDraining())

    def _serve(self) -> None:
        while len(self._held) < self._workers and (found := next(self._candidates(), None)):
            caller, waiting = found
            large = self._is_large(caller, waiting)
            self._lines[waiting.large].remove(caller, waiting, served=True)
            waiting.in_line = False
            self._remember(caller, large=large)
            self._large_next = not large
            place = Place(caller, large, asyncio.get_running_loop().time())
            self._held.add(place)
            waiting.granted.set_result(place)

    def _candidates(self) -> Iterator[tuple[Caller, _Waiting]]:
        """Those who may have a place now, in the order of their turns."""
        waiting = [turn for line in self._lines.values() for turn in line.turns()]
        small = self._turns([turn for turn in waiting if not self._is_large(*turn)], large=False)
        large = self._turns(
            [turn for turn in waiting if self._is_large(*turn) and self._room_for_large(turn[0])], large=True
        )
        if self._workers == 1:
            large_first = self._large_next and asyncio.get_running_loop().time() >= self._small_until
        else:
            large_first = self._large_next
        yield from large + small if large_first else small + large

    def _turns(self, waiting: list[tuple[Caller, _Waiting]], *, large: bool) -> list[tuple[Caller, _Waiting]]:
        """Turns in their order. Of a client that was alone for a while, FairLine does not know that others
        that come then are next.

        One that was cancelled a moment ago is about to leave the line, and has no turn.
        """
        turns = [turn for turn in waiting if not turn[1].granted.done()]
        served = self._served
        turns.sort(
            key=lambda turn: (
                round(self._used_by(turn[0].client) / _ABOUT),
                served.get((large, turn[0].client), 0),
                served.get((large, turn[0]), 0),
            )
        )
        return turns

    def _remember(self, caller: Caller, *, large: bool) -> None:
        self._count += 1
        for key in ((large, caller.client), (large, caller)):
            self._served[key] = self._count
            self._served.move_to_end(key)
        while len(self._served) > _REMEMBERED:
            self._served.popitem(last=False)

    def _room_for_large(self, caller: Caller) -> bool:
        callers = [place.caller.client for place in self._held if place.large]
        return len(callers) < self._most_large and callers.count(caller.client) < self._most_large_of_one
