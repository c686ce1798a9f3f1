"""Admission: limits the calls at a time, with a share for each client, and refuses new ones while the server
drains."""

from collections.abc import Callable
from functools import partial

from conexiones.errors import ServerDraining, StreamIdle
from conexiones.metrics import Metrics
from conexiones.transport.chain.budget import Budget
from conexiones.transport.chain.call import Call, Endpoint
from conexiones.transport.chain.patience import SILENT_SECONDS, Patience
from conexiones.transport.chain.turn import Turn
from conexiones.waits import observe_places

BRIEF = 256
"""Calls with one request and one reply that are worked on at a time, once their requests are there. Of
others, it is their client's turn first that has fewer. So a call waits for a few calls of each other client,
however many these have begun."""

PLACES = 4
"""Calls that a connection may have at a time, whatever the share of its client is."""


class Admission:
    """A step of the chain. While the server drains, `on_idle` is called whenever no call is left for
    which the drain waits.

    A call waits for its place for `wait_seconds` at most. When calls wait, streams that are silent are ended
    in favour of them: those of `patience`.
    """

    def __init__(
        self,
        max_calls: int,
        on_idle: Callable[[], None],
        patience: Patience,
        *,
        wait_seconds: float,
        metrics: Metrics | None = None,
    ) -> None:
        self._on_idle = on_idle
        self._patience = patience
        places = partial(Budget, places=PLACES, wait_seconds=wait_seconds, most_waiting=max_calls)
        self._calls = places(max_calls, press=self._end_silent)
        self._exempt = places(max_calls)  # none of them is a stream that asks nothing
        self._brief = places(BRIEF)
        if metrics is not None:
            observe_places(metrics, "calls", self._calls)
            observe_places(metrics, "exempt_calls", self._exempt)
            observe_places(metrics, "brief_calls", self._brief)
        self._waited_for = 0  # calls that a drain waits for
        self._draining = False

    async def __call__(self, call: Call, rest: Endpoint) -> None:
        """Raises ServerDraining and ServerBusy."""
        exempt = call.route.exempt
        if "admission" in exempt:
            await self._with_place(self._exempt, call, rest)
            return
        if self._draining:
            raise ServerDraining
        waited_for = "drain" not in exempt
        self._waited_for += waited_for
        try:
            await self._with_place(self._calls, call, rest)
        finally:
            self._waited_for -= waited_for
            self._say_if_idle()

    async def _with_place(self, budget: Budget, call: Call, rest: Endpoint) -> None:
        caller = call.caller
        await budget.take(caller, 1)
        try:
            if not call.route.brief:
                await rest(call)
                return
            call.turn = Turn(self._brief, caller)
            try:
                await rest(call)
            finally:
                call.turn.give()
        finally:
            budget.give(caller, 1)

    def _end_silent(self) -> None:
        """Ends a silent stream for each call that waits, of the clients that have most calls."""
        needed = self._calls.waiting
        for call in self._patience.silent():
            if not needed:
                break
            if self._calls.is_greediest(call.caller):
                call.body.end_wait(StreamIdle(limit=round(SILENT_SECONDS)))
                needed -= 1

    def drain(self) -> None:
        """Admits no more calls, for good."""
        self._draining = True
        self._say_if_idle()

    def _say_if_idle(self) -> None:
        if self._draining and not self._waited_for:
            self._on_idle()
