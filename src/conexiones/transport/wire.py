"""Errors on the wire: one ConexionesError in the form of the protocol that the caller speaks."""

import base64
import json
import struct
from collections.abc import Awaitable, Callable
from typing import Any, Literal
from urllib.parse import quote

from connectrpc.code import Code as ConnectCode
from connectrpc.errors import ConnectError, ErrorDetail
from google.rpc.status_pb2 import Status
from protobuf.wkt import Any as ConnectAny

from conexiones.errors import Code, ConexionesError
from conexiones.services.details import packed

Send = Callable[[Any], Awaitable[None]]
Protocol = Literal["grpc", "connect", "connect-stream"]

CONNECT_CODES = {code: ConnectCode[code.name.replace("CANCELLED", "CANCELED")] for code in Code if code}

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


def protocol_of(content_type: str) -> Protocol:
    """The protocol of a request. Envoy has turned gRPC-Web, binary and text, into gRPC before us."""
    if content_type.startswith("application/grpc"):
        return "grpc"
    if content_type.startswith("application/connect+"):
        return "connect-stream"
    return "connect"


def percent(message: str) -> bytes:
    """A message as grpc-message has it: what is not printable ASCII, and the percent sign, is encoded
    (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, Responses)."""
    return quote(message, safe=_PRINTABLE).encode()


def connect_error(error: ConexionesError) -> ConnectError:
    """The error as connectrpc sends it."""
    return ConnectError(
        CONNECT_CODES[error.code],
        error.message,
        details=[
            ErrorDetail(ConnectAny(type_url=detail.type_url, value=detail.value)) for detail in packed(error)
        ],
    )


def http_status(error: ConexionesError) -> int:
    """The HTTP status of an error in Connect's unary calls, and over plain HTTP."""
    return _HTTP_STATUS.get(error.code, 500)


def status_headers(error: ConexionesError) -> list[tuple[bytes, bytes]]:
    """What says in gRPC, as headers or trailers, how a call has ended."""
    found = Status(code=error.code, message=error.message, details=packed(error))
    return [
        (b"grpc-status", str(int(error.code)).encode()),
        (b"grpc-message", percent(error.message)),
        (b"grpc-status-details-bin", base64.b64encode(found.SerializeToString()).rstrip(b"=")),
    ]


async def respond(
    send: Send, content_type: str, error: ConexionesError, *, status: int | None = None, allow: str = ""
) -> None:
    """Answers a request of that content type with the error alone, before any application has begun to.

    `status` replaces the HTTP status where the protocol lets HTTP have its own; `allow` goes with 405.
    """
    protocol = protocol_of(content_type)
    body = b""
    if protocol == "grpc":
        # Trailers-Only: what lets a gRPC client's retry policy act.
        status = 200
        headers = [(b"content-type", b"application/grpc"), *status_headers(error)]
    else:
        value = {
            "code": CONNECT_CODES[error.code].value,
            "message": error.message,
            "details": [
                {
                    "type": detail.type_url.rpartition("/")[2],
                    "value": base64.b64encode(detail.value).rstrip(b"=").decode(),
                }
                for detail in packed(error)
            ],
        }
        if protocol == "connect-stream":
            status = 200
            text = json.dumps({"error": value}, ensure_ascii=False).encode()
            body = struct.pack(">BI", 2, len(text)) + text  # an end-of-stream message
            headers = [(b"content-type", content_type.encode())]
        else:
            status = status or http_status(error)
            body = json.dumps(value, ensure_ascii=False).encode()
            headers = [(b"content-type", b"application/json")]
            if allow:
                headers.append((b"allow", allow.encode()))
    await answer(send, status, headers, body)


async def answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    """A whole HTTP response."""
    await send({"type": "http.response.start", "status": status, "headers": headers, "trailers": False})
    await send({"type": "http.response.body", "body": body, "more_body": False})
