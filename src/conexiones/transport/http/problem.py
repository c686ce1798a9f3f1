"""Errors over plain HTTP: application/problem+json (RFC 9457)."""

import json
import math

from conexiones.errors import ConexionesError
from conexiones.transport.wire import Send, answer, http_status


async def respond_problem(
    send: Send,
    error: ConexionesError,
    *,
    status: int | None = None,
    headers: "list[tuple[bytes, bytes]] | None" = None,
    body: bool = True,
) -> None:
    """Answers with an error; without `body` for HEAD. `status` replaces the error's own."""
    status = status or http_status(error)
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
    }
    text = json.dumps(value, ensure_ascii=False).encode()
    sent = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(text)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *(headers or []),
    ]
    if error.retry_after is not None:
        sent.append((b"retry-after", str(math.ceil(error.retry_after)).encode()))
    await answer(send, status, sent, text if body else b"")
