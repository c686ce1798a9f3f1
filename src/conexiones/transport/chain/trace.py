"""The span of each call, with which it takes its place in the trace of its caller."""

import time

from conexiones.errors import FAULTS, Code, ConexionesError
from conexiones.tracing import Attributes, Span, Tracer, current_span, problem_of
from conexiones.transport.chain import conventions
from conexiones.transport.chain.call import Call, Endpoint

LONGEST = 256
"""The most characters of an attribute that a client has chosen."""


class Trace:
    """A step of the chain, around the guard. A stream is a span until its end."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    async def __call__(self, call: Call, rest: Endpoint) -> None:
        begun = time.time_ns() - round((time.monotonic() - call.start_time) * 1e9)
        ids, http = call.ids, call.protocol == "http"
        name = _http_name(call) if http else ids.method or conventions.OTHER
        span = self._tracer.call(name, parent=ids.parent, state=ids.state, begun=begun)
        current_span.set(span)
        if span.recording:
            span.set(_http(call) if http else _rpc(call, name))
        escaped: BaseException | None = None
        try:
            await rest(call)
        except BaseException as error:
            escaped = error
            raise
        finally:
            _end(span, call, call.error or escaped)
            del escaped  # it refers to this frame


def _rpc(call: Call, name: str) -> Attributes:
    return {"rpc.system.name": conventions.system(call), "rpc.method": name, **_common(call)}


def _http_name(call: Call) -> str:
    verb = call.verb if call.verb in conventions.VERBS else "HTTP"
    return f"{verb} {conventions.path(call)}".rstrip()


def _http(call: Call) -> Attributes:
    route = conventions.path(call)
    return {
        "http.request.method": conventions.verb(call),
        "url.scheme": call.scheme,
        "url.path": call.path[:LONGEST],
        **({"http.route": route} if route else {}),
        **_common(call),
    }


def _common(call: Call) -> dict[str, str | int]:
    found: dict[str, str | int] = {"conexiones.request_id": call.ids.request_id}
    if call.peer:
        found["client.address"], found["client.port"] = call.peer
    if agent := call.header(b"user-agent"):
        found["user_agent.original"] = agent[:LONGEST].decode("latin-1")
    return found


def _end(span: Span, call: Call, error: BaseException | None) -> None:
    if not span.recording:
        span.end()
        return
    if call.protocol == "http":
        if call.status:
            span.set({"http.response.status_code": call.status})
        # Without an error of the call, what escaped has broken off the response.
        failed = call.status >= 500 or (error is not None and call.error is None)
    else:
        code = error.code if isinstance(error, ConexionesError) else Code.CANCELLED if error else Code.OK
        span.set({"rpc.response.status_code": conventions.status(call, code)})
        failed = code in FAULTS
    span.end(problem_of(error), failed=failed)
