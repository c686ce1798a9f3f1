"""Immutable bytes by their digest."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from conexiones.ports.catalog import Catalog
from conexiones.ports.staging import Staged


class Blobs(Protocol):
    """Immutable bytes by their SHA-256."""

    async def open(self, catalog: Catalog) -> None:
        """Opens the store and removes what a crash left: whatever the catalog does not refer to, named
        ones whose upload is not OPEN included."""

    async def close(self) -> None: ...

    def stage(self) -> Staged:
        """Begins a new blob, without I/O."""

    async def resume(self, name: str, size: int) -> Staged:
        """The staged bytes of that name (an upload's id), cut off after `size` bytes; new ones if size is 0.

        BlobCorrupt if fewer are there. One at a time may be held of a name.
        """

    async def drop(self, name: str) -> None:
        """Removes the staged bytes of that name, if there are any and nobody holds them."""

    def read(self, digest: bytes, offset: int = 0) -> AsyncIterator[bytes]:
        """The bytes from offset on, in pieces of at most 1 MiB. BlobCorrupt if they are not there."""

    def local(self, digest: bytes) -> AbstractAsyncContextManager[Path]:
        """A local file of the bytes, to be read only. BlobCorrupt if they are not there."""

    def removing(self, digest: bytes) -> AbstractAsyncContextManager[None]:
        """Around the catalog's `delete_image`: deletes the blob after it, and, should a crash come between,
        at the next start."""

    async def delete(self, digest: bytes) -> None:
        """Removes a blob unless the catalog refers to it, or an upload of the same bytes is under way."""
