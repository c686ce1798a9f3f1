"""The cache of renditions."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Protocol

from conexiones.ports.records import Rendered


class RenditionFile(Protocol):
    """A kept rendition, open for reading: it stays readable when it is no longer kept. Close it."""

    @property
    def rendered(self) -> Rendered: ...

    def read(self, offset: int = 0) -> AsyncIterator[bytes]:
        """The bytes from offset on, in pieces of at most 1 MiB."""

    def close(self) -> None:
        """When nobody reads."""


class RenditionCache(Protocol):
    """Renditions by the digest of the image and a name of their own; those used last are kept.

    What is gone can be made again: nothing here is durable, and nothing that is given is damaged.
    """

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def get(self, digest: bytes, name: str) -> RenditionFile | None:
        """A kept one. Names are 1 to 64 hexadecimal digits."""

    async def add(
        self, digest: bytes, name: str, make: Callable[[Path], Awaitable[Rendered]]
    ) -> RenditionFile:
        """Keeps what `make` writes to the new file that it is given, and gives it. Raises as `make`."""

    async def drop(self, digest: bytes) -> None:
        """Forgets all of an image."""

    async def digests(self) -> list[bytes]:
        """Of which images renditions are kept."""
