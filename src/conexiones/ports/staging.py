"""Bytes on their way in: they become blobs, or nothing is left of them."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar, overload

T = TypeVar("T")


class Content(Protocol):
    """Bytes that are looked at, in memory or not. A slice is bytes. Looking may raise OSError."""

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, key: int, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> bytes: ...


class Staged(Protocol):
    """The bytes of one image on their way in. Nobody sees them until they are published.

    Used by one task at a time. Calls that need the store raise StorageFull and StorageUnavailable; after one
    that raised, or was cancelled, only `discard` makes sense.
    """

    @property
    def size(self) -> int:
        """Bytes written so far. Those that an earlier process had committed count."""

    async def write(self, data: bytes | memoryview) -> None:
        """Appends. May return before the bytes are on disk; the failure of a write may be raised by a later
        call."""

    async def inspect(self, judge: Callable[[Content], T], *, slow: bool = False) -> T:
        """Waits for all that was written and gives judge(content), run in a thread if the bytes are many, or
        the judge is `slow` with few, too. Raises what the judge raises.

        The content must not outlive the call. Of many bytes it is never all in memory at once.
        """

    async def publish(self, add: Callable[[bytes], Awaitable[T]]) -> T:
        """Makes the bytes a blob and awaits `add` with its SHA-256 (32 bytes), which has to add an image of
        it to the catalog; gives what that gives, and raises what that raises. ValueError if there are no
        bytes.

        When it returns the blob is durable; equal bytes are kept once. An image is never in the catalog
        without its bytes: these are durable before `add` is called, or become so in one step with the row,
        in which case their failure is raised within `add`. Until `settle` the next start removes the blob
        again unless the catalog refers to it; of resumable bytes it then still has what was committed.
        """

    async def settle(self) -> None:
        """Says that the catalog refers to the published blob. Resumable bytes are gone then."""

    async def discard(self) -> None:
        """Removes whatever was not settled, the blob too unless the catalog or another upload refers to it.
        Safe to call at any time and more than once; never raises."""


class ResumableStaged(Staged, Protocol):
    """Bytes that outlive connections and restarts, as far as they are committed."""

    async def commit(self, advance: Callable[[int], Awaitable[T]]) -> T:
        """Makes all that was written durable, and awaits `advance` with the size, which has to count it in
        the row of the upload; gives what that gives, and raises what that raises. May be called again after
        it was cancelled.

        The bytes are durable before `advance` is called, or become so in one step with the row. A store that
        several processes share raises WriterFenced if another one has committed bytes since `resume`.
        """

    async def release(self) -> None:
        """Lets go of the bytes, and keeps what was committed for another `resume`. After `publish` the blob
        is removed, as in `discard`. Safe to call at any time and more than once; never raises."""


class Staging(Protocol):
    """Where bytes come in. Raises StorageFull and StorageUnavailable."""

    def stage(self) -> Staged:
        """Begins a new blob, without I/O."""

    async def resume(self, upload_id: str, size: int) -> ResumableStaged:
        """The committed bytes of an upload, without those behind the first `size`; none if size is 0.

        BlobCorrupt if fewer are there. In a process only one may be held of an upload at a time: RuntimeError
        if one is. Where several processes share the store, `size` has to be that of the row, and WriterFenced
        is raised if the upload has ended meanwhile, or has more bytes by now.
        """

    async def drop(self, upload_id: str) -> None:
        """Removes the committed bytes of an upload, if there are any and nobody holds them."""
