"""How long the store waits, and how long it keeps what nothing refers to."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for the object store, in seconds.

    connect: for a connection.
    attempt: for one attempt at a request.
    request: for a request in all, with its turn; and as much more as its bytes take at `rate`, in bytes a
        second.
    retries: attempts after the first, if the store is busy (503 SlowDown), or fails.
    """

    connect: float = 2.0
    attempt: float = 20.0
    request: float = 8.0
    rate: float = 1 << 20
    retries: int = 4

    def of(self, size: int) -> float:
        """The seconds for a request with so many bytes."""
        return self.request + size / self.rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Graces:
    """In seconds, by the database's clock.

    pack, part: how long after an object was named a row may come to name it. An image of which the bytes
        take longer than `part` to come in, without being a resumable upload, is refused.
    dead: how long the bytes of a deleted image stay, for those who are reading them.
    moved: how long an object stays whose bytes were put elsewhere.
    late: how much longer an object stays that no row names.
    refused: how long until an object is tried again that the store has refused to delete.
    """

    pack: float = 600.0
    part: float = 24 * 3600.0
    dead: float = 3600.0
    moved: float = 600.0
    late: float = 600.0
    refused: float = 24 * 3600.0
