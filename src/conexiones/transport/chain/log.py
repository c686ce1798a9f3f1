"""The log of failed calls. It is the only place that causes go to."""

import logging
import traceback

from conexiones import errors
from conexiones.tracing import current_ids
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
    """A step of the chain: logs what a call fails with, and raises the error that the client gets. From here
    on, lines of the log have the ids of the call.

    A SystemExit, KeyboardInterrupt or GeneratorExit that a handler raises would end the event loop, and so
    every call. Here it fails its own call, like any other exception.
    """
    current_ids.set(call.ids)  # each call has a task, and so a context, of its own
    try:
        await rest(call)
    except (Exception, SystemExit, KeyboardInterrupt, GeneratorExit) as cause:
        error = cause if isinstance(cause, errors.ConexionesError) else errors.Internal()
        _write(call, error, cause)
        _forget_frames(cause)
        failure = error
    else:
        return
    raise failure


def _forget_frames(error: BaseException) -> None:
    """Takes the frames out of an error and of all that it came from.

    They refer to the request and to replies on their way, and frames and errors refer to each other. If they
    were left to the garbage collector, refused images of 60 MB would pile up, as would replies of 1 MB that
    nobody reads any more.
    """
    chain: list[BaseException | None] = [error]
    seen: set[int] = set()
    while chain:
        one = chain.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            chain += (one.__cause__, one.__context__)
            traceback.clear_frames(one.__traceback__)
            one.__traceback__ = None


def _write(call: Call, error: errors.ConexionesError, cause: BaseException) -> None:
    caller = f", from {call.subject}" if call.subject else ""
    name, reason = f"{call.service}/{call.method}", {"reason": error.reason}
    theirs = isinstance(error, errors.UndeclaredCompression)
    if isinstance(error, _FAULTS_OF_THE_SERVER) and not theirs:
        _log.error("%s: %s%s", name, error.reason, caller, exc_info=cause, extra=reason)
    else:
        _log.debug("%s: %s%s", name, error.reason, caller, extra=reason)
