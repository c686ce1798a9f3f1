"""The lines of the audit log and of the access log: in ASCII, without secrets. They are JSON; those of the
access log may also be text."""

import json
import re

from conexiones.adapters.system.line_file import timestamp
from conexiones.ports.audit import AccessEntry, AuditEntry

LONGEST = 256
"""The most characters of a value, which clients may have chosen. What is left out is replaced by "…"."""

_SECRET = re.compile(
    r"cn[a-z]_[0-9A-Za-z]{16,}"  # our own credentials
    r"|(?<=[?&]signature=)[^&\s]+",
    re.ASCII,
)

# What only begins like one is passed over as a whole: a path may have a thousand such beginnings.
_JWT = re.compile(r"eyJ[\w-]*+(?:\.[\w-]++\.[\w-]*|(?P<none>))", re.ASCII)

_PLAIN = re.compile(r"[!#-<>-\[\]-~]+", re.ASCII)

HIDDEN = "[secret]"
"""What stands for a part of a value that looks like a secret. Somebody may have put one into a name."""


def line(entry: AuditEntry) -> bytes:
    """The line of an entry, with its end."""
    value: dict[str, object] = {
        "time": timestamp(entry.time),
        "event": entry.event,
        "outcome": entry.outcome,
        "principal": {"subject": _safe(entry.subject), "credential": _safe(entry.credential)},
        "method": _safe(entry.method),
        "object": {"kind": entry.kind, "id": _safe(entry.id)} if entry.kind else None,
        "peer": _safe(entry.peer),
        "request_id": _safe(entry.request_id),
    }
    if entry.left_out:
        value["left_out"] = entry.left_out
    return json.dumps(value).encode() + b"\n"


def access_line(entry: AccessEntry, *, form: str) -> bytes:
    """The line of a call, with its end, as "json" or "text": there, values are as in JSON where they have
    spaces, quotes, backslashes or equals signs, and what is not known is left out."""
    value: dict[str, str | int | float] = {
        "time": timestamp(entry.time),
        "method": _safe(entry.method),
        "path": _safe(entry.path),
        "protocol": entry.protocol,
        "status": entry.status,
        "reason": entry.reason,
        "bytes_in": entry.bytes_in,
        "bytes_out": entry.bytes_out,
        "seconds": round(entry.seconds, 6),
        "peer": _safe(entry.peer),
        "subject": _safe(entry.subject),
        "credential": _safe(entry.credential),
        "request_id": _safe(entry.request_id),
        "trace_id": entry.trace_id,
    }
    if form == "json":
        return _ascii(json.dumps(value))
    told = (f"{name}={_word(str(each))}" for name, each in value.items() if each != "")
    return _ascii(" ".join(told))


def _ascii(line: str) -> bytes:
    return line.replace("\x7f", "\\u007f").encode() + b"\n"


def _word(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def _hidden(found: re.Match[str]) -> str:
    return found[0] if found.lastgroup else HIDDEN


def _safe(text: str) -> str:
    text = _SECRET.sub(HIDDEN, _JWT.sub(_hidden, text[: 16 * LONGEST]))
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
