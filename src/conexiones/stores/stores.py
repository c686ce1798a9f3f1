"""What app.py needs of the places where things are kept."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

from conexiones.ports.access import Credentials
from conexiones.ports.blobs import Blobs
from conexiones.ports.catalog import Catalog, Descriptions
from conexiones.ports.leases import Leases
from conexiones.ports.staging import Staging
from conexiones.ports.verifying import ScrubLog


class Rows(Catalog, Descriptions, Protocol):
    """A catalog with its descriptions."""


class Stores(Protocol):
    """The adapters that belong together. Making them does no I/O.

    `folder` is for files that belong to this server. `token_folder` is where the first token is left for the
    administrator; None if that is made otherwise. `reserve` is the file that is given up on a full disk, if
    there is one. `leases` is None for a server that shares nothing.
    `schema` is the number of the catalog's schema.
    """

    @property
    def catalog(self) -> Rows: ...

    @property
    def credentials(self) -> Credentials: ...

    @property
    def staging(self) -> Staging: ...

    @property
    def blobs(self) -> Blobs: ...

    @property
    def leases(self) -> Leases | None: ...

    @property
    def scrub(self) -> ScrubLog: ...

    @property
    def folder(self) -> Path: ...

    @property
    def token_folder(self) -> Path | None: ...

    @property
    def reserve(self) -> Path | None: ...

    @property
    def schema(self) -> int: ...

    async def open_catalog(self, stack: AsyncExitStack) -> None:
        """Has it closed with the stack. Raises ValueError, whose sentence says what to do, StorageFull and
        StorageUnavailable."""

    async def open_blobs(self, stack: AsyncExitStack) -> None:
        """The same, after the catalog was opened."""

    def sizes(self) -> Mapping[str, int]:
        """Bytes, by what they are. For one thread at a time. Raises OSError."""

    def writers(self) -> list[int]:
        """The processes that write."""

    async def watch(self, on_gone: Callable[[str], None], on_fault: Callable[[str], None]) -> None:
        """Calls `on_gone`, with the reason, once nothing can be stored until the server starts again; and
        `on_fault` when nothing can be served for now, with an empty reason when that is over."""

    def sweeps(self) -> list[tuple[float, Callable[[], Awaitable[None]]]]:
        """What is to be done at intervals of so many seconds."""
