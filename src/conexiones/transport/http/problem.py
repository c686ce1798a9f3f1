"""Errors over plain HTTP: application/problem+json (RFC 9457)."""

import json
import math

from conexiones.errors import ConexionesError, Unauthenticated
from conexiones.tracing import request_id
from conexiones.transport.chain.call import Call
from conexiones.transport.rpc.status import http_status

TYPE = b"application/problem+json"


def problem(error: ConexionesError, status: int) -> bytes:
    """The body of a response with that status."""
    id = request_id()
    value = {
        "type": "about:blank",
        "title": error.reason,
        "status": status,
        "code": error.code.name,
        "reason": error.reason,
        "detail": error.message,
        "detalle": error.mensaje,
        **({"field": error.field} if error.field else {}),
        **({"facts": error.facts} if error.facts else {}),
        **({"requestId": id} if id else {}),
    }
    return json.dumps(value, ensure_ascii=False).encode()


class HttpAnswer:
    """The Answer of plain HTTP. It sends errors only: the endpoints of this folder send their own responses.
    They set `begun` before a response that an error may interrupt."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.begun = False

    async def fail(self, error: ConexionesError) -> None:
        """Answers with the error. If a response has begun, raises the error instead: that breaks the response
        off, so that the client sees it is incomplete."""
        if self.begun:
            raise error
        call = self._call
        status = call.http_status or http_status(error)
        text = problem(error, status)
        headers = [
            (b"content-type", TYPE),
            (b"content-length", str(len(text)).encode()),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            *call.reply_headers,
        ]
        if isinstance(error, Unauthenticated):
            headers.append((b"www-authenticate", b'Bearer realm="conexiones"'))
        if error.retry_after is not None:
            headers.append((b"retry-after", str(math.ceil(error.retry_after)).encode()))
        await call.respond(status, headers, text)
