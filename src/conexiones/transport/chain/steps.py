"""How steps make up a chain."""

from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Protocol

from conexiones.transport.chain.call import Call, Endpoint


class Step(Protocol):
    """Does something around `rest`, the rest of the chain, which it awaits with the call, at most once."""

    def __call__(self, call: Call, rest: Endpoint) -> Awaitable[None]: ...


async def serve(call: Call) -> None:
    """The end of the chain: the endpoint of the call's route."""
    await call.route.endpoint(call)


def chain(steps: Sequence[Step], end: Endpoint = serve) -> Endpoint:
    """The steps around the end; the first step is the outermost one."""
    for step in reversed(steps):
        end = partial(step, rest=end)
    return end
