"""The log of failed calls. It is the only place that causes go to."""

import logging
from collections import defaultdict

from conexiones import errors
from conexiones.seldom import Seldom
from conexiones.tracing import current_ids
from conexiones.transport.chain.call import Call, Endpoint
from conexiones.transport.chain.frames import forget_frames

_LONGEST = 1000
"""The most characters of a cause that is said without its frames."""

_UNKNOWN: dict[type[errors.ConexionesError], str] = {
    errors.BlobCorrupt: "what was stored is missing, or is not what it was"
}

_log = logging.getLogger("conexiones.rpc")

# Not all that is INTERNAL or DATA_LOSS: a chunk that was damaged on its way is no fault of the server.
_FAULTS_OF_THE_SERVER = (
    errors.Internal,
    errors.BlobCorrupt,
    errors.StorageFull,
    errors.StorageUnavailable,
)


class Log:
    """A step of the chain: logs what a call fails with, and raises the error that the client gets. From here
    on, lines of the log have the ids of the call.

    A SystemExit, KeyboardInterrupt or GeneratorExit that a handler raises would end the event loop, and so
    every call. Here it fails its own call, like any other exception.
    """

    def __init__(self) -> None:
        # By reason: clients that meet the same fault again and again must not fill the disk with it.
        self._lines: defaultdict[str, Seldom] = defaultdict(Seldom)

    async def __call__(self, call: Call, rest: Endpoint) -> None:
        current_ids.set(call.ids)  # each call has a task, and so a context, of its own
        try:
            await rest(call)
        except (Exception, SystemExit, KeyboardInterrupt, GeneratorExit) as cause:
            error = cause if isinstance(cause, errors.ConexionesError) else errors.Internal()
            self._write(call, error, cause)
            forget_frames(cause)
            failure = error
        else:
            return
        raise failure

    def _write(self, call: Call, error: errors.ConexionesError, cause: BaseException) -> None:
        caller = f", from {call.subject}" if call.subject else ""
        line, extra = f"{call.service}/{call.method}: {error.reason}{caller}", {"reason": error.reason}
        theirs = isinstance(error, errors.UndeclaredCompression)
        is_fault = isinstance(error, _FAULTS_OF_THE_SERVER) and not theirs
        left_out = self._lines[error.reason].take() if is_fault else None
        if left_out is None:
            _log.debug("%s", line, extra=extra)
            return
        more = f" ({left_out} others are left out)" if left_out else ""
        if isinstance(error, errors.Internal):
            _log.error("%s%s", line, more, exc_info=cause, extra=extra)
        else:
            # Its cause is not in the program: frames would say nothing, and fill the disk.
            _log.error("%s%s: %s", line, more, why(error), extra=extra)


def why(error: errors.ConexionesError) -> str:
    """What those have noted who met the fault, and what the system said."""
    told = [*getattr(error, "__notes__", ())]
    at: BaseException = error
    while (cause := at.__cause__) is not None:
        at = cause
        said = " ".join(str(at).split())
        told.append(f"{type(at).__name__}: {said}" if said else type(at).__name__)
    return " ".join(told)[:_LONGEST] or _UNKNOWN.get(type(error), str(error))
