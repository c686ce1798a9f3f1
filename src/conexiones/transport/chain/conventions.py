"""A call in the words of OpenTelemetry's conventions, for its metrics and its span
(https://opentelemetry.io/docs/specs/semconv/rpc and …/http). Nothing of them is made up by a client.
"""

from conexiones.errors import Code
from conexiones.transport.chain.call import Call

OTHER = "_OTHER"
"""What stands for methods that do not exist."""

VERBS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})

_PATHS = {
    "images": "/images/{id}",
    "page": "/page/{file}",
    "sign in": "/session",
    "sign out": "/session",
}
"""The paths of plain HTTP, by the method of their route."""


def path(call: Call) -> str:
    """The path of the route of plain HTTP; empty if there is none."""
    if call.service != "http":
        return ""
    return "/" if call.method == "page" and call.path == "/" else _PATHS.get(call.method, "")


def verb(call: Call) -> str:
    return call.verb if call.verb in VERBS else OTHER


def system(call: Call) -> str:
    """The protocol of an RPC."""
    return "grpc" if call.protocol == "grpc" else "connectrpc"


def status(call: Call, code: Code) -> str:
    """A code as the protocol of the RPC spells it."""
    if call.protocol == "grpc":
        return code.name
    return code.name.lower().replace("cancelled", "canceled")
