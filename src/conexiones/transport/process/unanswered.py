"""Envoy's filter that bounds the calls of a client without an answer: unanswered.lua and its values."""

from pathlib import Path
from typing import Any

from conexiones.errors import ServerBusy
from conexiones.transport.chain.call import CONNECTION
from conexiones.transport.process.local_replies import LocalReply, replies

FILTER = "envoy.filters.http.lua"
"""The filter's name. It is off; the routes switch it on."""

LEAST = 1000
"""The least that all clients together may have without an answer. It bounds only what Python has to look at:
how many calls are served is decided there."""

FORGET_SECOND = 200
"""So many calls that a client has abandoned are forgotten each second. Python looks at each in some 50 µs."""

PLACES = 16
"""Calls without an answer that a connection may have, whatever the share of its client is."""

_PROGRAM = Path(__file__).with_suffix(".lua")


def unanswered(max_calls: int) -> dict[str, Any]:
    """The configuration of the filter. In each of Envoy's threads, a client may have half as many calls
    without an answer as are served at a time, and fewer if others have some."""
    limit = max(LEAST, max_calls)
    busy = ",\n".join(map(_reply, replies(ServerBusy(limit=limit))))
    head = (
        f"local LIMIT, PLACES, FORGET = {limit}, {PLACES}, {FORGET_SECOND}\n"
        f"local CONNECTION = {_quoted(CONNECTION.decode())}\nlocal BUSY = {{\n{busy}\n}}\n"
    )
    return {
        "name": FILTER,
        "disabled": True,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "default_source_code": {"inline_string": head + _PROGRAM.read_text("utf-8")},
        },
    }


def _reply(reply: LocalReply) -> str:
    headers = {":status": str(reply.status), **reply.headers}
    pairs = ", ".join(f"[{_quoted(name)}] = {_quoted(value)}" for name, value in headers.items())
    body = _quoted(reply.body.decode("latin-1"))
    return f"  {{kind = {_quoted(reply.kind)}, headers = {{{pairs}}}, body = {body}}}"


def _quoted(text: str) -> str:
    """A string of Lua. What is not printable is written as the number of its byte."""
    return '"' + "".join(_character(ord(character)) for character in text) + '"'


def _character(code: int) -> str:
    return chr(code) if 0x20 <= code < 0x7F and code not in {0x22, 0x5C} else f"\\{code:03}"
