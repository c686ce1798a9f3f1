"""The log of failed calls. Causes go there, and nowhere else."""

import logging
import traceback

from conexiones import errors
from conexiones.transport.chain.call import Call, Endpoint

_log = logging.getLogger("conexiones.rpc")


async def log(call: Call, rest: Endpoint) -> None:
    """Logs what a call has failed with, and raises the error of the tree that the client is told.

    SystemExit and its like, raised in a handler, would end the event loop under every call: they are the
    failure of their own call like everything else.
    """
    try:
        await rest(call)
    except (Exception, SystemExit, KeyboardInterrupt, GeneratorExit) as cause:
        error = cause if isinstance(cause, errors.ConexionesError) else errors.Internal()
        _write(call, error, cause)
        # The frames hold the request, and they and the error hold each other: left to the garbage collector,
        # refused images of 60 MB would pile up.
        traceback.clear_frames(cause.__traceback__)
        error.__traceback__ = None
        failure = error
    else:
        return
    raise failure


def _write(call: Call, error: errors.ConexionesError, cause: BaseException) -> None:
    caller = f", from {call.subject}" if call.subject else ""
    name = f"{call.service}/{call.method}"
    storage = isinstance(error, errors.StorageFull | errors.StorageUnavailable)
    theirs = isinstance(error, errors.UndeclaredCompression)
    if storage or (error.code in {errors.Code.INTERNAL, errors.Code.DATA_LOSS} and not theirs):
        _log.error("%s: %s%s", name, error.reason, caller, exc_info=cause)
    else:
        _log.debug("%s: %s%s", name, error.reason, caller)
