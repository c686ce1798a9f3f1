"""What a handler may know of its call, in whatever protocol it came."""

from typing import Protocol


class Context(Protocol):
    """One call. `peer` is the client's address and port. `deadline` is in the time of the event loop.
    `subject` is that of the client's certificate, empty without mTLS. `principal` is who calls, None if that
    is unknown."""

    @property
    def peer(self) -> tuple[str, int] | None: ...
    @property
    def deadline(self) -> float | None: ...
    @property
    def subject(self) -> str: ...
    @property
    def principal(self) -> object: ...
