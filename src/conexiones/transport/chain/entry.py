"""The entry: calls that come all at once begin a few at a time."""

import asyncio

from conexiones.shares import FairLine
from conexiones.transport.chain.call import Call, Endpoint
from conexiones.transport.chain.on_loop import OnLoop

AT_ONCE = 8
"""Calls that begin in one turn of the event loop."""


class Entry(OnLoop):
    """A step of the chain, around all others. Clients take turns to begin calls.

    What a call does before it waits for anything, and all of a call that is refused, takes the event loop a
    fraction of a millisecond. If a client begins hundreds at once, those of others begin among the first all
    the same, and what is under way goes on in between. Belongs to one event loop.
    """

    def __init__(self) -> None:
        self._line: FairLine[asyncio.Future[None]] = FairLine()
        self._begun = 0

    async def __call__(self, call: Call, rest: Endpoint) -> None:
        if self._begun < AT_ONCE:
            if not self._begun:
                self.loop.call_soon(self._next)
            self._begun += 1
        else:
            turn = self.loop.create_future()
            self._line.push(call.caller, turn)
            await turn  # if it is cancelled, `_next` takes it out of the line
        await rest(call)

    def _next(self) -> None:
        """In the next turn of the loop: lets those in who wait, and then those who come."""
        self._begun = 0
        while self._line and self._begun < AT_ONCE:
            caller, turn = self._line.next()
            self._line.remove(caller, turn, served=True)
            if not turn.done():
                turn.set_result(None)
                self._begun += 1
        if self._begun:
            self.loop.call_soon(self._next)
