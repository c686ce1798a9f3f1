"""What the driver raises, as the errors of the house.

ConnectionLost         nothing more can be asked on the connection
asyncpg.PostgresError  the server refused a statement, and the connection goes on
"""

import asyncpg  # type: ignore[import-untyped]  # the driver has types, but does not say so

from conexiones.errors import ConexionesError, StorageFull, StorageUnavailable


class ConnectionLost(Exception):
    """The connection was closed, by whichever side. What was sent last may have been done."""


CONFLICTS = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
"""The transaction was undone since another one was in its way. Done again, it succeeds."""

HELD_UP = (asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError)
"""The transaction was undone since something took too long, such as a lock that somebody holds."""

ENDS_CONNECTION = (
    ConnectionLost,
    OSError,  # and so TimeoutError
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.DatabaseDroppedError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,  # the server has become a standby: another one is the primary now
)
"""After these a connection is not used again."""


def ends_connection(error: BaseException) -> bool:
    # Complaints of the driver that are ValueErrors, too, are of what it was given.
    return isinstance(error, ENDS_CONNECTION) and not isinstance(error, ValueError)


def as_storage_error(error: BaseException) -> BaseException:
    """The error for a caller, with `error` as its cause. A defect of the caller, such as a number that is too
    large, stays as it is."""
    if isinstance(error, ConexionesError | asyncpg.DataError):
        return error
    storage: ConexionesError
    if isinstance(error, asyncpg.DiskFullError):
        storage = StorageFull()
    elif isinstance(error, asyncpg.PostgresError) or ends_connection(error):
        storage = StorageUnavailable()
    else:
        return error
    storage.__cause__ = error
    return storage
