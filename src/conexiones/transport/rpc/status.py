"""Errors on the wire: one ConexionesError in the form of each protocol."""

import base64
from collections.abc import Callable
from typing import TypeAlias
from urllib.parse import quote

from google.protobuf.any_pb2 import Any
from google.rpc.status_pb2 import Status

from conexiones.errors import Code, ConexionesError
from conexiones.transport.chain.call import Headers

Details: TypeAlias = Callable[[ConexionesError], list[Any]]
"""Gives the details of an error: the messages in google.rpc.Status.details."""

# https://connectrpc.com/docs/protocol/#error-codes
_HTTP_STATUS = {
    Code.CANCELLED: 499,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.UNAUTHENTICATED: 401,
}

_PRINTABLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


def http_status(error: ConexionesError) -> int:
    """The HTTP status of an error in Connect's unary calls, and over plain HTTP."""
    return _HTTP_STATUS.get(error.code, 500)


def grpc_status(error: ConexionesError, details: Details) -> Headers:
    """The headers or trailers that tell the error in gRPC."""
    found = details(error)
    headers = [(b"grpc-status", b"%d" % error.code), (b"grpc-message", percent(error.message))]
    if found:
        status = Status(code=error.code, message=error.message, details=found).SerializeToString()
        headers.append((b"grpc-status-details-bin", base64.b64encode(status).rstrip(b"=")))
    return headers + pushback(error)


def pushback(error: ConexionesError) -> Headers:
    """What google.rpc.RetryInfo says, for the retry policies of gRPC clients
    (https://github.com/grpc/proposal/blob/master/A6-client-retries.md, Pushback); nothing if a retry does not
    help."""
    seconds = error.retry_after
    return [] if seconds is None else [(b"grpc-retry-pushback-ms", b"%d" % round(seconds * 1000))]


def percent(message: str) -> bytes:
    """A message for grpc-message: all but printable ASCII, and the percent sign, is percent-encoded
    (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, Responses)."""
    return quote(message, safe=_PRINTABLE).encode()


def connect_error(error: ConexionesError, details: Details) -> dict[str, object]:
    """The error as Connect's JSON (https://connectrpc.com/docs/protocol/#error-end-stream)."""
    return {
        "code": error.code.name.lower().replace("cancelled", "canceled"),
        "message": error.message,
        "details": [
            {
                "type": detail.type_url.rpartition("/")[2],
                "value": base64.b64encode(detail.value).rstrip(b"=").decode(),
            }
            for detail in details(error)
        ],
    }
