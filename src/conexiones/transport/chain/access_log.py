"""Tells the access log what was asked for, and what has become of it."""

import time

from conexiones.errors import Code, ConexionesError
from conexiones.ports.audit import AccessEntry, AccessLog
from conexiones.tracing import current_span, problem_of
from conexiones.transport.chain.call import Call, Endpoint, peer_of


class Recorded:
    """A step of the chain, around the guard: a line for each call, when it has ended."""

    def __init__(self, log: AccessLog) -> None:
        self._log = log

    async def __call__(self, call: Call, rest: Endpoint) -> None:
        escaped: BaseException | None = None
        try:
            await rest(call)
        except BaseException as error:
            escaped = error
            raise
        finally:
            self._log.write(_entry(call, call.error or escaped))
            del escaped  # it refers to this frame


def _entry(call: Call, error: BaseException | None) -> AccessEntry:
    seconds = time.monotonic() - call.start_time
    span = current_span.get()
    http = call.protocol == "http"
    code = error.code if isinstance(error, ConexionesError) else Code.CANCELLED if error else Code.OK
    return AccessEntry(
        time=time.time_ns() // 1000 - round(seconds * 1e6),
        method=call.verb if http else call.ids.method,
        path=call.path,
        protocol=call.protocol,
        status=str(call.status) if http and call.status else code.name,
        reason=problem_of(error),
        bytes_in=call.body.size,
        bytes_out=call.replied,
        seconds=seconds,
        peer=peer_of(call),
        subject=call.principal.subject,
        credential=call.principal.credential or getattr(error, "credential", ""),
        request_id=call.ids.request_id,
        trace_id=span.trace_id if span else call.ids.trace_id,
    )
