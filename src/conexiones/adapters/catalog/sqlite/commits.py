"""The catalog's file in the writing process: each group of works becomes one transaction."""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from conexiones.adapters.catalog.sqlite.credentials import (
    add_link_key,
    forget_credentials,
    forget_link_keys,
    revoke_credential,
)
from conexiones.adapters.catalog.sqlite.file import connect_to_write
from conexiones.adapters.catalog.sqlite.migrations import transaction
from conexiones.adapters.catalog.sqlite.room import expire
from conexiones.adapters.catalog.sqlite.transactions import (
    ROWS,
    add_stored,
    delete_image,
    end_upload,
    forget_events,
    forget_uploads,
    insert_images,
    insert_uploads,
    newest_event,
    stored_upload_row,
)
from conexiones.adapters.system.ballast import Ballast
from conexiones.adapters.system.disk import storage_error
from conexiones.adapters.system.presence import Presence
from conexiones.adapters.writer.group_commit import Work
from conexiones.adapters.writer.messages import Decided, Given, failed, failed_too
from conexiones.errors import ConexionesError, StorageFull

FREEING = frozenset(
    {
        delete_image,
        expire,
        forget_uploads,
        forget_events,
        revoke_credential,
        forget_credentials,
        add_link_key,
        forget_link_keys,
    }
)
"""What is done even on a full disk: what frees space, and what takes rights away. A new key ends links."""

_QUICK = frozenset({insert_images, add_stored})
"""What is done for a whole group in as few statements as possible."""

END_UPLOAD_IMAGE = 2
"""The number of the image among the arguments of `end_upload` behind the connection."""


class Commits:
    """A Database of the writing process. Works are functions of transactions.py."""

    def __init__(self, path: str) -> None:
        """Opens the file, creates it, or migrates it. ValueError, whose one line says what to do, if that
        cannot be done."""
        self._ballast = Ballast(Path(path).parent)
        self._connection = self._open(Path(path))
        self._presence = Presence(Path(path))
        with suppress(OSError):
            self._ballast.hold()
        self._gone: OSError | None = None
        self.newest = newest_event(self._connection)

    def _open(self, path: Path) -> sqlite3.Connection:
        """Opens the file even on a full disk, so that something can be deleted."""
        while True:
            try:
                return connect_to_write(path)
            except (OSError, sqlite3.Error) as error:
                if not isinstance(storage_error(error), StorageFull) or not self._ballast.give_up():
                    raise ValueError(_why_not(path, error)) from error

    def close(self) -> None:
        self._connection.close()

    def commit(self, group: list[Work]) -> list[Decided]:
        """A work that fails undoes itself only. If the transaction fails, all works get its error, and
        nothing of them is in the catalog.

        On a full disk, what frees space is done with the space of the ballast. If the file has gone, all
        works fail from now on, so that nothing is acknowledged that nobody would find again.
        """
        decided = self._commit_with_room(group)
        try:
            self._check_there()
        except OSError as error:
            failure = failed(error)
            return [failed_too(failure) for _ in group]
        return decided

    def _commit_with_room(self, group: list[Work]) -> list[Decided]:
        try:
            self._check_there()  # first, so that no ballast comes into a folder that is being deleted
            self._ballast.hold()
            decided = self._commit(group)
            if not isinstance(decided[0].error, StorageFull):  # it is an error of all
                return decided
        except OSError as error:
            failure = failed(error)
            decided = [failed_too(failure) for _ in group]
            if not isinstance(failure.error, StorageFull):
                return decided
        freeing = iter(self._free([work for work in group if _frees(work)]))
        return [next(freeing) if _frees(work) else one for work, one in zip(group, decided, strict=True)]

    def _free(self, group: list[Work]) -> list[Decided]:
        """Does works that free space. A first attempt may fail, and empties the log on that occasion. Nothing
        is given up for it: what is done at intervals mostly finds nothing to do, and takes no space."""
        if not group:
            return []
        decided = self._commit(group)
        more = True
        while more and isinstance(decided[0].error, StorageFull):
            more = self._ballast.give_up()
            decided = self._commit(group)
        return decided

    def _check_there(self) -> None:
        """Raises OSError. Once the file has gone, another one under its path does not help."""
        if self._gone is None:
            try:
                self._presence.check()
            except OSError as error:
                self._gone = error
        if self._gone is not None:
            raise self._gone

    def _commit(self, group: list[Work]) -> list[Decided]:
        try:
            try:
                if self.newest and len(group) <= ROWS and all(work is insert_images for work, _ in group):
                    # One statement, which is a transaction of its own. It adds an event for each image, and
                    # sequences have no gaps.
                    decided = _all_together(self._connection, group)
                    self.newest += len(group)
                    return decided
                return self._in_one_transaction(group, _all_together)
            except sqlite3.OperationalError:
                raise  # a failure of the storage, which would only come again
            except Exception:
                return self._in_one_transaction(group, _each_for_itself)
        except Exception as error:
            # If it was the last fsync that failed, the WAL may hold the whole transaction, unseen now but
            # recovered after a crash. Emptying the WAL makes sure that what failed stays failed.
            with suppress(Exception):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self.newest = 0  # unknown: it is read again with the next transaction
            failure = failed(error)
            return [failed_too(failure) for _ in group]

    def _in_one_transaction(
        self, group: list[Work], do: Callable[[sqlite3.Connection, list[Work]], list[Decided]]
    ) -> list[Decided]:
        with transaction(self._connection):
            decided = do(self._connection, group)
            newest = newest_event(self._connection)
        self.newest = newest
        return decided


def _frees(work: Work) -> bool:
    """Whether a work is there to free space. An upload that ends without an image does that, too."""
    function, given = work
    return function in FREEING or (function is end_upload and given[END_UPLOAD_IMAGE] is None)


def _all_together(connection: sqlite3.Connection, group: list[Work]) -> list[Decided]:
    """The quick way, for a group of which nothing fails unexpectedly: all images in as few statements as
    possible, and all small ones with their uploads. One whose request is there already fails the group, whose
    works are then done each for itself."""
    images = [row for work, given in group if work is insert_images for row in given[0]]
    stored = [given for work, given in group if work is add_stored]
    insert_uploads(connection, [stored_upload_row(image, by) for image, by in stored])
    insert_images(connection, images + [image for image, _ in stored])
    return [Decided() if work in _QUICK else _done(connection, work, given) for work, given in group]


def _done(connection: sqlite3.Connection, work: Callable[..., object], given: Given) -> Decided:
    """A work that is refused has changed nothing, so that the others of its group need not be done again."""
    try:
        return Decided(work(connection, *given))
    except ConexionesError as error:
        return failed(error)


def _each_for_itself(connection: sqlite3.Connection, group: list[Work]) -> list[Decided]:
    """Each work in a savepoint of its own."""
    decided: list[Decided] = []
    for work, given in group:
        connection.execute("SAVEPOINT work")
        try:
            decided.append(Decided(work(connection, *given)))
        except Exception as error:
            # A full disk or an I/O error may have made SQLite roll back everything.
            if not connection.in_transaction:
                raise
            connection.execute("ROLLBACK TO work")
            decided.append(failed(error))
        connection.execute("RELEASE work")
    return decided


def _why_not(path: Path, error: OSError | sqlite3.Error) -> str:
    """Why the file cannot be opened, for the operator."""
    if isinstance(error, OSError):
        return f"{path} cannot be opened: {error.strerror or error}."
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return f"{path} is damaged ({error}): conexiones verify says more. Put it back from a backup."
    return f"{path} cannot be opened: {error}."
