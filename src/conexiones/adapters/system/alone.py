"""What is shared by servers, for a server that shares nothing."""

from collections.abc import Collection


class Alone:
    """Leases of a server on data that no other one has."""

    async def hold(self, names: Collection[str], *, seconds: float) -> frozenset[str]:
        return frozenset(names)

    async def leave(self) -> None:
        return None
