"""Limits on what clients send and read: memory for messages and replies, and the time that they may take."""

from conexiones.shares import act_for
from conexiones.transport.chain.call import Call, Endpoint
from conexiones.transport.chain.memory import Lease, Memory
from conexiones.transport.chain.patience import Patience
from conexiones.transport.chain.replies import Replies


class Limits:
    """A step of the chain: each call gets a lease of the memory for messages, which ends with the call, and
    may get memory for replies, which ends when its client has them. Its client is watched."""

    def __init__(self, memory: Memory, replies: Replies, patience: Patience) -> None:
        self._memory = memory
        self._replies = replies
        self._patience = patience

    async def __call__(self, call: Call, rest: Endpoint) -> None:
        act_for(call.caller)
        call.memory = Lease(self._memory, call.caller, call.body)
        call.replies = self._replies
        self._patience.add(call)
        try:
            await rest(call)
        finally:
            self._patience.remove(call)
            call.memory.release()
