"""What a handler may know of its call, in whatever protocol it came."""

from typing import Protocol

from conexiones.errors import ConexionesError
from conexiones.principals import Principal
from conexiones.shares import Caller


class Context(Protocol):
    """One call. `peer` is the client's address and port, `caller` who has shares of what clients share.
    `deadline` is in the time of the event loop. `subject` is that of the client's certificate, empty without
    mTLS. `principal` is who calls."""

    @property
    def peer(self) -> tuple[str, int] | None: ...
    @property
    def caller(self) -> Caller: ...
    @property
    def deadline(self) -> float | None: ...
    @property
    def subject(self) -> str: ...
    @property
    def principal(self) -> Principal: ...
    def changed(self, event: str, object_id: str, outcome: str = "OK") -> None:
        """The call has changed something, which is durable: for the audit log. `event` is the kind of the
        object and what happened to it, such as "image.stored"; `outcome` is the reason of an error, if it has
        come to nothing."""

    def refused(self, error: ConexionesError) -> None:
        """A message of the call has failed with an error that does not end the call: for the audit log, which
        has it if it refuses access."""

    def release(self) -> None:
        """The handler has dropped the large field of its request, whose memory goes to others."""
