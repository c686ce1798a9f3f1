"""What other servers on the same catalog have changed of credentials and keys of links.

Each server has all of them in memory. It hears of a change within a second, and mostly at once; and whoever
shows something that it does not know has it look first: a token works on every server from the moment that
one of them has given it out.
"""

import asyncio
from contextlib import suppress

from conexiones.domain.access.directory import Directory
from conexiones.domain.access.links import Links
from conexiones.errors import ConexionesError
from conexiones.ports.access import Credentials
from conexiones.whole import Together

AGAIN_SECONDS = 1.0
"""Time until another look after one that failed."""

LOOK_SECONDS = 10.0
"""The longest time without a look: after a failover to a database that was behind, the numbers of changes are
smaller than they were, and nobody tells of them."""


class Elsewhere:
    """Keeps a directory and links up to date. `begin` has to be awaited before they are opened."""

    def __init__(self, credentials: Credentials, directory: Directory, links: Links) -> None:
        self._credentials = credentials
        self._directory = directory
        self._links = links
        self._number = 0
        self.look = Together(self._look)
        """Hears of all that was changed until it is called. Raises StorageUnavailable."""

    async def begin(self) -> None:
        """Raises StorageUnavailable."""
        self._number = await self._credentials.newest_change()

    async def run(self) -> None:
        """Hears of changes, until it is cancelled."""
        while True:
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._credentials.changed(self._number)
                await self.look()
            except ConexionesError:
                await asyncio.sleep(AGAIN_SECONDS)

    async def _look(self) -> None:
        found = await self._credentials.changes(after=self._number)
        if found is not None:
            self._directory.take(found.credentials)
            self._links.take(found.keys)
            self._number = found.number
