"""Renditions that were made once and are kept for the next request."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from conexiones.ports.records import Rendered


class RenditionFile(Protocol):
    """A kept rendition, open for reading.

    It stays readable after the cache has dropped it, until it is closed.
    """

    @property
    def rendered(self) -> Rendered: ...

    def read(self, offset: int = 0) -> AsyncIterator[bytes]:
        """The bytes from offset on, in pieces of at most 1 MiB."""

    def close(self) -> None:
        """Lets the rendition go. Nobody may be reading it."""


class CachedRendition(NamedTuple):
    """A rendition, and all of its bytes."""

    rendered: Rendered
    content: bytes


class RenditionCache(Protocol):
    """Renditions by the digest of the image and a name; the least recently used are dropped first.

    Nothing is durable, as all of it can be made again. What `get` gives is whole and undamaged.
    """

    def cached(self, digest: bytes, name: str) -> CachedRendition | None:
        """The kept rendition of that name if it is in memory, as small ones are that were given of late. One
        that was dropped is not."""

    async def get(self, digest: bytes, name: str) -> RenditionFile | None:
        """The kept rendition of that name (1 to 64 hexadecimal digits), or None."""

    async def add(
        self, digest: bytes, name: str, make: Callable[[Path], Awaitable[Rendered]]
    ) -> RenditionFile:
        """Awaits `make` with the path of a new file, keeps what it wrote there, and gives it.

        Raises what `make` raises.
        """

    async def drop(self, digest: bytes) -> None:
        """Drops all renditions of an image."""

    async def digests(self) -> list[bytes]:
        """The digests of the images of which renditions are kept."""
