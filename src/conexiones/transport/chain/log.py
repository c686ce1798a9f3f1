"""The log of failed calls. It is the only place that causes go to."""

import logging
import traceback

from conexiones import errors
from conexiones.transport.chain.call import Call, Endpoint

_log = logging.getLogger("conexiones.rpc")

# Not all that is INTERNAL or DATA_LOSS: a chunk that was damaged on its way is no fault of the server.
_FAULTS_OF_THE_SERVER = (
    errors.Internal,
    errors.BlobCorrupt,
    errors.StorageFull,
    errors.StorageUnavailable,
)


async def log(call: Call, rest: Endpoint) -> None:
    """A step of the chain: logs what a call fails with, and raises the error that the client gets.

    A SystemExit, KeyboardInterrupt or GeneratorExit that a handler raises would end the event loop, and so
    every call. Here it fails its own call, like any other exception.
    """
    try:
        await rest(call)
    except (Exception, SystemExit, KeyboardInterrupt, GeneratorExit) as cause:
        error = cause if isinstance(cause, errors.ConexionesError) else errors.Internal()
        _write(call, error, cause)
        # The frames of the traceback refer to the request, and frames and error refer to each other. If they
        # were left to the garbage collector, refused images of 60 MB would pile up.
        traceback.clear_frames(cause.__traceback__)
        error.__traceback__ = None
        failure = error
    else:
        return
    raise failure


def _write(call: Call, error: errors.ConexionesError, cause: BaseException) -> None:
    caller = f", from {call.subject}" if call.subject else ""
    name = f"{call.service}/{call.method}"
    theirs = isinstance(error, errors.UndeclaredCompression)
    if isinstance(error, _FAULTS_OF_THE_SERVER) and not theirs:
        _log.error("%s: %s%s", name, error.reason, caller, exc_info=cause)
    else:
        _log.debug("%s: %s%s", name, error.reason, caller)
