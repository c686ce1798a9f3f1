"""Credentials and the keys of links, in the file of a catalog."""

import asyncio

from conexiones.adapters.catalog.sqlite import credentials
from conexiones.adapters.catalog.sqlite.catalog import SqliteCatalog
from conexiones.ports.access import Changes, Credential, LinkKey


class SqliteCredentials:
    """Credentials, in the file of a SqliteCatalog, which has to be open."""

    def __init__(self, catalog: SqliteCatalog) -> None:
        self._catalog = catalog

    async def all(self) -> list[Credential]:
        return await self._catalog.read(credentials.all_credentials)

    async def add(self, credential: Credential) -> None:
        await self._catalog.write(None, credentials.add_credential, credential)

    async def revoke(self, credential_id: str, *, now: int) -> None:
        await self._catalog.write(None, credentials.revoke_credential, credential_id, now)

    async def used(self, hours: dict[str, int]) -> None:
        await self._catalog.write(None, credentials.use_credentials, hours)

    async def shared_time(self, now: int) -> int:
        return await self._catalog.shared_time(now)

    async def forget(self, *, tokens: int, others: int) -> None:
        await self._catalog.write(None, credentials.forget_credentials, tokens, others)

    async def keys(self) -> list[LinkKey]:
        return await self._catalog.read(credentials.link_keys)

    async def add_key(self, key: LinkKey) -> None:
        await self._catalog.write(None, credentials.add_link_key, key)

    async def forget_keys(self, *, created_before: int) -> None:
        await self._catalog.write(None, credentials.forget_link_keys, created_before)

    async def newest_change(self) -> int:
        return 0

    async def changes(self, *, after: int) -> Changes | None:
        return None

    async def changed(self, after: int) -> None:
        """As in the port: there is no other process, so never."""
        await asyncio.get_running_loop().create_future()
