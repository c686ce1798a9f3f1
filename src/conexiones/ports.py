"""What the domain needs from outside: small protocols, and the records they move.

An adapter may be called from several tasks at once unless a docstring says otherwise. Adapters turn the
failures of their backend into StorageFull (no space, quota, file size) and StorageUnavailable (anything
else), with the cause chained; a coroutine that was cancelled leaves nothing half done.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import Protocol, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """An image as stored. Times are in microseconds since the epoch, UTC."""

    id: str
    digest: bytes
    size: int
    format: str
    width: int
    height: int
    frames: int
    user: str | None
    create_time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRecord:
    """A user as stored. Times are in microseconds since the epoch, UTC."""

    name: str
    pow: int
    image_id: str | None
    create_time: int
    update_time: int


class Catalog(Protocol):
    """Users and images. What a method returned is durable and visible to all that come after."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def add_image(self, image: ImageRecord) -> None:
        """Adds an image whose blob is durable. Ids are unique; one digest may have many images."""

    async def get_image(self, image_id: str) -> ImageRecord | None: ...

    async def put_user(
        self, name: str, *, pow: int | None, image: ImageRecord | None, now: int
    ) -> UserRecord:
        """Registers or updates a user in one transaction; None leaves what is stored as it is.

        The image, if given, is added in the same transaction. A new user has pow 0 and no image
        unless given. Of two writers at once each sees the other's work whole.
        """

    async def get_user(self, name: str) -> UserRecord | None: ...

    async def has_digest(self, digest: bytes) -> bool:
        """Whether any image has these bytes."""


class Staged(Protocol):
    """Bytes on their way in: invisible until published. Used by one task at a time."""

    @property
    def size(self) -> int:
        """Bytes written so far."""

    async def write(self, data: bytes) -> None:
        """Appends. May return before the bytes are on disk; its errors may come with a later call."""

    async def inspect(self, judge: Callable[[bytes | mmap], T]) -> T:
        """Waits for all that was written and gives judge(bytes), run in a thread of its own.

        The buffer must not outlive the call, and is never all in memory at once.
        """

    async def publish(self) -> bytes:
        """Makes the bytes durable under their SHA-256 and returns it (32 bytes).

        The same bytes are kept once. Until `settle` is called, a crash lets the next start remove
        them again unless the catalog refers to them.
        """

    async def settle(self) -> None:
        """Says that the catalog refers to the published bytes."""

    async def discard(self) -> None:
        """Removes what was not settled. Safe to call at any time, more than once, never raises."""


class Blobs(Protocol):
    """Immutable bytes by their SHA-256."""

    async def open(self, catalog: Catalog) -> None:
        """Opens the store and removes what a crash left: whatever the catalog does not refer to."""

    async def close(self) -> None: ...

    def stage(self) -> Staged:
        """Begins a new blob, without I/O."""

    def read(self, digest: bytes, offset: int = 0) -> AsyncIterator[bytes]:
        """The bytes from offset on, in pieces of at most 1 MiB. BlobCorrupt if they are not there."""

    def local(self, digest: bytes) -> AbstractAsyncContextManager[Path]:
        """A local file of the bytes, to be read only. BlobCorrupt if they are not there."""


class Decoder(Protocol):
    """Decodes pixels, away from the server's own process."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def preview(self, path: Path, *, format: str, side: int) -> bytes:
        """A JPEG in sRGB that fits into side × side pixels, upright, over white where transparent.

        Never larger than the image itself. Raises NoPreview if the file cannot be decoded, or not
        within the time and memory allowed; a crash of the decoder ends this call only.
        """
