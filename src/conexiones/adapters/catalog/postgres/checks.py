"""What has to be true of a database before anything is stored in it."""

import logging

from conexiones.adapters.catalog.postgres.address import Address
from conexiones.adapters.catalog.postgres.connections import Connection

OLDEST = 14
"""The oldest major version of PostgreSQL that has what the catalog needs."""

_FACTS = """
SELECT current_setting('server_version_num')::int AS version, current_setting('server_encoding') AS encoding,
    current_setting('synchronous_commit') AS commit, current_setting('fsync') AS fsync,
    current_setting('full_page_writes') AS pages
"""

log = logging.getLogger(__name__)


async def check_server(connection: Connection, address: Address) -> None:
    """ValueError, whose one line says what to do, if the server would not keep what it is given."""
    facts = await connection.fetchrow(_FACTS)
    if facts["version"] < OLDEST * 10_000:
        raise ValueError(
            f"{address} is PostgreSQL {facts['version'] // 10_000}: the catalog needs {OLDEST} or newer."
        )
    if facts["encoding"] != "UTF8":
        raise ValueError(
            f"{address} has the encoding {facts['encoding']}: CREATE DATABASE with ENCODING 'UTF8' is needed."
        )
    if facts["commit"] == "off":
        raise ValueError(
            f"{address} has synchronous_commit = off, so a crash would lose what was acknowledged: ALTER"
            " DATABASE … SET synchronous_commit = on."
        )
    for name in ("fsync", "pages"):
        if facts[name] == "off":
            setting = "full_page_writes" if name == "pages" else name
            log.warning("%s has %s = off: a power failure may lose everything in it", address, setting)
