"""Credentials and the keys of links in the catalog's file. Each function runs in one transaction, which it
may share with others."""

import sqlite3

from conexiones.adapters.catalog.credential_rows import COLUMNS, credential_row, read_credential
from conexiones.ports.access import Credential, LinkKey

_ALL = f"SELECT {', '.join(COLUMNS)} FROM credentials ORDER BY create_time, id"  # noqa: S608 (our own names)
_ADD = f"INSERT INTO credentials ({', '.join(COLUMNS)}) VALUES ({','.join('?' * len(COLUMNS))})"  # noqa: S608
_REVOKE = "UPDATE credentials SET revoke_time = ?1 WHERE revoke_time IS NULL AND (id = ?2 OR parent = ?2)"
_BEFORE = "iif(kind = 'token', ?1, ?2)"
_ENDED = f"(expire_time < {_BEFORE} OR revoke_time < {_BEFORE})"


def all_credentials(connection: sqlite3.Connection) -> list[Credential]:
    return [read_credential(row) for row in connection.execute(_ALL)]


def add_credential(connection: sqlite3.Connection, credential: Credential) -> None:
    connection.execute(_ADD, credential_row(credential))


def revoke_credential(connection: sqlite3.Connection, credential_id: str, now: int) -> None:
    connection.execute(_REVOKE, (now, credential_id))


def use_credentials(connection: sqlite3.Connection, hours: dict[str, int]) -> None:
    connection.executemany(
        "UPDATE credentials SET use_time = ? WHERE id = ?", [(hour, each) for each, hour in hours.items()]
    )


def forget_credentials(connection: sqlite3.Connection, tokens: int, others: int) -> None:
    connection.execute(
        f"DELETE FROM spent WHERE ticket IN (SELECT id FROM credentials WHERE {_ENDED})",  # noqa: S608
        (tokens, others),
    )
    connection.execute(f"DELETE FROM credentials WHERE {_ENDED}", (tokens, others))  # noqa: S608


def link_keys(connection: sqlite3.Connection) -> list[LinkKey]:
    rows = connection.execute("SELECT id, secret, create_time FROM link_keys ORDER BY create_time, id")
    return [LinkKey(id=id, secret=secret, create_time=time) for id, secret, time in rows]


def add_link_key(connection: sqlite3.Connection, key: LinkKey) -> None:
    connection.execute("INSERT INTO link_keys VALUES (?, ?, ?)", (key.id, key.secret, key.create_time))


def forget_link_keys(connection: sqlite3.Connection, created_before: int) -> None:
    connection.execute("DELETE FROM link_keys WHERE create_time < ?", (created_before,))
