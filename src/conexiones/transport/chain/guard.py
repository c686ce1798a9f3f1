"""The error guard: what a call fails with is answered in the protocol of the call."""

from conexiones.errors import Cancelled, ConexionesError
from conexiones.transport.chain.call import Call, Endpoint


async def guard(call: Call, rest: Endpoint) -> None:
    """Answers a call that has failed, and notes its error. What comes here is an error of the tree: log.py,
    the next step, has made it one."""
    try:
        await rest(call)
    except ConexionesError as error:
        call.error = error
        try:
            await call.answer.fail(error)
        except Cancelled:
            if not call.gone:  # else nobody is left to be told, and nothing is wrong
                raise
