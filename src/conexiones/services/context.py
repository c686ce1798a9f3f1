"""What a handler may know of its call, in whatever protocol it came."""

from typing import Protocol

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
    def release(self) -> None:
        """The handler has dropped the large field of its request, whose memory goes to others."""
