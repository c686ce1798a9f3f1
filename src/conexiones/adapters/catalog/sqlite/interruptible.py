"""Breaks off what a thread does with a connection."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Interruptible:
    """One use of a connection by a thread. `interrupt` may come from another thread at any time: it ends
    that use with sqlite3.OperationalError, and never touches the next one of the connection."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._interrupted = False

    @contextmanager
    def using(self, connection: sqlite3.Connection) -> Iterator[None]:
        with self._lock:
            if self._interrupted:
                raise sqlite3.OperationalError("interrupted")
            self._connection = connection
        try:
            yield
        finally:
            with self._lock:
                self._connection = None

    def interrupt(self) -> None:
        with self._lock:
            self._interrupted = True
            if self._connection is not None:
                self._connection.interrupt()
