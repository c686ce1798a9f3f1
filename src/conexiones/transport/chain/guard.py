"""The error guard: answers a call that fails with its error, in the protocol of the call."""

from conexiones.errors import Cancelled, ConexionesError
from conexiones.transport.chain.call import Call, Endpoint


async def guard(call: Call, rest: Endpoint) -> None:
    """A step of the chain. It sees errors of the tree only: log.py, the next step, turns every exception into
    one."""
    try:
        await rest(call)
    except ConexionesError as error:
        call.error = error
        try:
            await call.answer.fail(error)
        except Cancelled:
            if not call.gone:  # otherwise nobody is left to be answered
                raise
