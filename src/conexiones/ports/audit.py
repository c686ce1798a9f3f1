"""The audit log: who has changed what, and who was refused. The access log: what was asked for."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One line. `time` is in microseconds since the epoch, UTC.

    `event` is "image.stored", "token.revoked" or another change, with the kind of its object before the dot,
    or "refused". `outcome` is "OK", or the reason of an error. `left_out` counts the refusals of the same
    client for which there are no lines, since there were too many.
    """

    time: int
    event: str
    outcome: str = "OK"
    method: str = ""
    kind: str = ""
    id: str = ""
    subject: str = ""
    credential: str = ""
    peer: str = ""
    request_id: str = ""
    left_out: int = 0


class AuditLog(Protocol):
    def write(self, entry: AuditEntry) -> None:
        """Has the entry written soon. It never fails, and waits for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessEntry:
    """A call that has ended. `time` is in microseconds since the epoch, UTC, and that of its beginning.

    `method` is that of a service, or the verb of HTTP; `path` has no query, in which signatures may be.
    `status` is the code of an RPC, or the status of HTTP; `reason` is that of an error. Bytes are those of
    bodies, as the server reads and sends them.
    """

    time: int
    method: str
    path: str
    protocol: str
    status: str
    reason: str
    bytes_in: int
    bytes_out: int
    seconds: float
    peer: str
    subject: str
    credential: str
    request_id: str
    trace_id: str


class AccessLog(Protocol):
    def write(self, entry: AccessEntry) -> None:
        """Has the entry written soon. It never fails, and waits for nothing."""
