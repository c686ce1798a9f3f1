"""The audit log: who has changed what, and who was refused."""

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
