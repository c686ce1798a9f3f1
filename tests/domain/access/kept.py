"""Credentials in a real catalog, whose writes a test can hold up or let fail."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from conexiones.adapters.catalog.sqlite.access import SqliteCredentials
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.domain.access import Directory
from conexiones.ports.access import Credential


class Kept(SqliteCredentials):
    """`begun` is set when a credential is about to be added; it then waits for `go`. `fault` is raised
    instead of revoking."""

    def __init__(self, catalog: SqliteCatalog) -> None:
        super().__init__(catalog)
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self.go.set()
        self.fault: Exception | None = None

    async def add(self, credential: Credential) -> None:
        self.begun.set()
        await self.go.wait()
        await super().add(credential)

    async def revoke(self, credential_id: str, *, now: int) -> None:
        if self.fault:
            raise self.fault
        await super().revoke(credential_id, now=now)


@asynccontextmanager
async def kept(folder: Path) -> AsyncIterator[tuple[Kept, Directory]]:
    """The credentials in a folder, and a directory that has read them, as after a start."""
    catalog = SqliteCatalog(folder / "catalog.sqlite3")
    await catalog.open()
    try:
        credentials = Kept(catalog)
        directory = Directory(credentials)
        await directory.open()
        yield credentials, directory
    finally:
        await catalog.close()
