"""Limits on what clients send: memory for a message, and the time without a byte in the middle of one."""

from conexiones.transport.chain.call import Call, Endpoint
from conexiones.transport.chain.memory import Budget, Lease


class Limits:
    """A step of the chain: each call gets a lease of the budget, which ends with the call."""

    def __init__(self, budget: Budget, *, stall_seconds: float) -> None:
        self._budget = budget
        self._stall_seconds = stall_seconds

    async def __call__(self, call: Call, rest: Endpoint) -> None:
        call.memory = Lease(self._budget)
        call.body.stall_seconds = self._stall_seconds
        try:
            await rest(call)
        finally:
            call.memory.release()
