"""What one of several servers does for all of them."""

from collections.abc import Collection
from typing import Protocol


class Leases(Protocol):
    """Names that one server at a time holds. A server that dies, or is cut off, loses them in time."""

    async def hold(self, names: Collection[str], *, seconds: float) -> frozenset[str]:
        """The names that this server has for so long from now: of those that it had, and of those that nobody
        has, as many as each gets if all servers that ask share them. Raises StorageUnavailable."""

    async def leave(self) -> None:
        """Gives back all names. Raises StorageUnavailable."""
