"""Answers that Envoy gives by itself, with an error of the tree in the form of each protocol.

Some come before Envoy knows what is asked for, such as those to a request line that is none: they are
application/problem+json. An HTTP/2 or HTTP/3 stream whose headers break the protocol is reset, without an
answer.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from conexiones.errors import ConexionesError, MalformedRequest, ServerBusy, UnknownMethod
from conexiones.services.details import packed
from conexiones.transport.http.problem import TYPE, problem
from conexiones.transport.rpc.connect import END_STREAM
from conexiones.transport.rpc.envelopes import envelope
from conexiones.transport.rpc.status import connect_error, grpc_status, http_status

_ERRORS: dict[int, ConexionesError] = {
    400: MalformedRequest(),
    403: UnknownMethod(),
    408: MalformedRequest(),
    413: MalformedRequest(),
    426: MalformedRequest(),
    431: MalformedRequest(),
    503: ServerBusy(),
}
"""What Envoy's statuses mean here. 403 is that of the filter which refuses paths that are not ASCII."""
_STATUSES = {403: 404}
"""The HTTP statuses that are other than Envoy's: such a path is one that there is not."""


@dataclass(frozen=True, slots=True)
class LocalReply:
    """The answer to requests whose content type begins with `kind`; that of the last one, "", fits all."""

    kind: str
    status: int
    headers: dict[str, str]
    body: bytes


def replies(error: ConexionesError, status: int | None = None) -> Iterator[LocalReply]:
    """How the error is told to each kind of client; the first one that fits counts. `status` is the HTTP
    status, by default that of the error, in protocols whose errors have one."""
    told = {name.decode(): value.decode() for name, value in grpc_status(error, packed)}
    for kind in ("application/grpc-web-text", "application/grpc-web", "application/grpc"):
        yield LocalReply(kind, 200, {"content-type": kind, **told}, b"")
    body = json.dumps(connect_error(error, packed), ensure_ascii=False).encode()
    # With spaces at its end, so that its length is of bytes that are UTF-8: Envoy's configuration is JSON.
    last = b'{"error":' + body + b"}"
    end = envelope([last, b" " * (-len(last) % 256)], END_STREAM)
    for kind in ("application/connect+json", "application/connect+proto"):
        yield LocalReply(kind, 200, {"content-type": kind}, end)
    http = status or http_status(error)
    later = {} if error.retry_after is None else {"retry-after": str(math.ceil(error.retry_after))}
    yield LocalReply("application/", http, {"content-type": "application/json", **later}, body)
    yield LocalReply("", http, {"content-type": TYPE.decode(), **later}, problem(error, http))


def local_reply_config() -> dict[str, Any]:
    """Envoy's configuration for its own answers. Their HTTP statuses stay as they are, except for those
    in `_STATUSES`."""
    return {
        "mappers": [
            _mapper(status, reply)
            for status, error in _ERRORS.items()
            for reply in replies(error, _STATUSES.get(status, status))
        ]
    }


def _mapper(status: int, reply: LocalReply) -> dict[str, Any]:
    code = {
        "status_code_filter": {
            "comparison": {"op": "EQ", "value": {"default_value": status, "runtime_key": "conexiones.none"}}
        }
    }
    kind = {"header_filter": {"header": {"name": "content-type", "string_match": {"prefix": reply.kind}}}}
    return {
        "filter": {"and_filter": {"filters": [code, kind]}} if reply.kind else code,
        "status_code": reply.status,
        "headers_to_add": [
            {
                "header": {"key": name, "value": value.replace("%", "%%")},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
            for name, value in reply.headers.items()
        ],
        "body_format_override": {
            "text_format_source": {"inline_string": reply.body.decode().replace("%", "%%")},
            "content_type": reply.headers["content-type"],
        },
    }
