"""The first token of an administrator, where servers share a database and have no folder to leave it in."""

from conexiones.adapters.catalog.postgres.access import PostgresCredentials
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.domain.access import Directory
from conexiones.principals import SCOPES
from conexiones.upkeep.problem import Problem

NAME = "admin"
"""That of the token, as of the one that a server with a data folder makes."""


async def first_token(database: str, *, direct: str | None = None, again: bool = False) -> tuple[str, str]:
    """Makes a token with all scopes in the database, and gives its id and its secret. Servers may run, and
    know it at once. `direct` is as in PostgresCatalog. Raises Problem if a token can make others already,
    unless it is to be made `again`, or if the database cannot be used; StorageFull and StorageUnavailable."""
    try:
        catalog = PostgresCatalog(database, direct=direct)
        await catalog.open()
    except ValueError as error:
        raise Problem(str(error)) from error
    try:
        directory = Directory(PostgresCredentials(catalog))
        await directory.open()
        if directory.has_admin() and not again:
            raise Problem(
                "There is a token with the scope admin already, which can make others. With --again another"
                " one is made, and the others work on."
            )
        made = await directory.create_token(NAME, SCOPES)
        return made.credential.id, made.secret
    finally:
        await catalog.close()
