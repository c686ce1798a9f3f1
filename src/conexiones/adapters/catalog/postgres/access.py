"""Credentials and the keys of links, in the database of a catalog."""

from conexiones.adapters.catalog.postgres import credentials
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.ports.access import Changes, Credential, LinkKey


class PostgresCredentials:
    """Credentials, in the database of a PostgresCatalog, which has to be open."""

    def __init__(self, catalog: PostgresCatalog) -> None:
        self._catalog = catalog

    async def all(self) -> list[Credential]:
        return await self._catalog.read(credentials.all_credentials)

    async def add(self, credential: Credential) -> None:
        await self._catalog.write(credentials.LOCKS, credentials.add_credential, credential)

    async def revoke(self, credential_id: str, *, now: int) -> None:
        await self._catalog.write(credentials.LOCKS, credentials.revoke_credential, credential_id, now)

    async def used(self, hours: dict[str, int]) -> None:
        await self._catalog.write(credentials.LOCKS, credentials.use_credentials, hours)

    async def shared_time(self, now: int) -> int:
        return await self._catalog.shared_time(now)

    async def forget(self, *, tokens: int, others: int) -> None:
        await self._catalog.write(credentials.LOCKS, credentials.forget_credentials, tokens, others)

    async def keys(self) -> list[LinkKey]:
        return await self._catalog.read(credentials.link_keys)

    async def add_key(self, key: LinkKey) -> None:
        await self._catalog.write(credentials.LOCKS, credentials.add_link_key, key)

    async def forget_keys(self, *, created_before: int) -> None:
        await self._catalog.write(credentials.LOCKS, credentials.forget_link_keys, created_before)

    async def newest_change(self) -> int:
        return await self._catalog.read(credentials.newest_change)

    async def changes(self, *, after: int) -> Changes | None:
        return await self._catalog.read(credentials.changes, after)

    async def changed(self, after: int) -> None:
        await self._catalog.access_changed(after)
