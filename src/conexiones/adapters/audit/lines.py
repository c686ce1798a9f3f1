"""The lines of the audit log: JSON, in ASCII, without secrets."""

import json
import re
from datetime import UTC, datetime

from conexiones.ports.audit import AuditEntry

LONGEST = 256
"""The most characters of a value, which clients may have chosen. What is left out is replaced by "…"."""

_SECRET = re.compile(
    r"cn[a-z]_[0-9A-Za-z]{16,}"  # our own credentials
    r"|eyJ[\w-]*\.[\w-]+\.[\w-]*"  # JWTs
    r"|(?<=[?&]signature=)[^&\s]+",
    re.ASCII,
)

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


def timestamp(micros: int) -> str:
    """The time as RFC 3339 has it, in UTC, with microseconds."""
    seconds, rest = divmod(micros, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06}Z"


def _safe(text: str) -> str:
    text = _SECRET.sub(HIDDEN, text[: 16 * LONGEST])
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
