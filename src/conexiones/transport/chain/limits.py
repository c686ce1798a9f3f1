"""Limits on what clients send: memory for a message, and how long its bytes may take."""

from conexiones.shares import act_for
from conexiones.transport.chain.call import Call, Endpoint
from conexiones.transport.chain.memory import Lease, Memory
from conexiones.transport.chain.patience import Patience


class Limits:
    """A step of the chain: each call gets a lease of the memory, which ends with the call, and its client is
    watched."""

    def __init__(self, memory: Memory, patience: Patience) -> None:
        self._memory = memory
        self._patience = patience

    async def __call__(self, call: Call, rest: Endpoint) -> None:
        act_for(call.caller)
        call.memory = Lease(self._memory, call.caller, call.body)
        self._patience.add(call)
        try:
            await rest(call)
        finally:
            self._patience.remove(call)
            call.memory.release()
