"""What several servers on the same data divide among themselves, so that each piece is done by one of them.

A duty may be done twice for a moment, when a server was cut off or stood still for longer than its lease:
what is done must bear that. It is never left undone for longer than LEASE_SECONDS.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from conexiones.errors import ConexionesError
from conexiones.metrics import Metrics
from conexiones.ports.leases import Leases

LEASE_SECONDS = 10.0
RENEW_SECONDS = 2.0
"""How long a server has a duty without a word, and how often it says that it is there."""

VERIFYING = "verify"
_PARTS = 16


def describing(digest: bytes) -> str:
    """The duty of finding the facts of these bytes."""
    return f"describe {digest[0] % _PARTS}"


_DESCRIBING = frozenset(describing(bytes([part])) for part in range(_PARTS))


def all_duties() -> list[str]:
    return [VERIFYING, *_DESCRIBING]


class Duties:
    """Those that this server has. Without leases it has all, and `run` has nothing to do. `divided` says
    whether there are leases."""

    def __init__(
        self, leases: Leases | None = None, names: Iterable[str] = (), *, metrics: Metrics | None = None
    ) -> None:
        self._leases = leases
        self.divided = leases is not None
        self._names = frozenset(names or all_duties())
        self._held = frozenset[str]() if leases else self._names
        self._until = 0.0
        self._gained = asyncio.Event()
        if metrics and leases:
            metrics.observe(
                "conexiones.duties",
                "{duty}",
                "What this server does for all that share its data: verification, and parts of describing.",
                lambda: len(self._held),
            )

    def has(self, name: str) -> bool:
        """Whether this server is to do it now."""
        return name in self._held and (self._leases is None or _clock() < self._until)

    @property
    def of_describing(self) -> float:
        """The part of all images whose facts this server finds, from 0 to 1."""
        return len(self._held & _DESCRIBING) / _PARTS

    async def gained(self, seconds: float | None = None) -> bool:
        """Waits until this server has got duties that it did not have; False if that takes longer."""
        event = self._gained
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return False
        return True

    async def take(self) -> None:
        """Renews what this server has, and takes its share of what is free. Raises StorageUnavailable."""
        if self._leases is None:
            return
        asked = _clock()
        held = await self._leases.hold(self._names, seconds=LEASE_SECONDS)
        before = self._held if asked < self._until else frozenset()
        self._held, self._until = held, asked + LEASE_SECONDS
        if held - before:
            gained, self._gained = self._gained, asyncio.Event()
            gained.set()

    async def run(self) -> None:
        """Keeps what this server has, until it is cancelled."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            with suppress(ConexionesError):  # then others get them, if they can
                await self.take()

    async def leave(self) -> None:
        """Leaves all duties to other servers. What cannot be given back is free in time."""
        self._held = frozenset()
        if self._leases is not None:
            with suppress(ConexionesError):
                await self._leases.leave()


def _clock() -> float:
    return asyncio.get_running_loop().time()
