"""Bytes on their way in."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar, overload

T = TypeVar("T")


class Content(Protocol):
    """Bytes that are looked at, in memory or not; slices are bytes. Looking may raise OSError."""

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, key: int, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> bytes: ...


class Staged(Protocol):
    """Bytes on their way in: invisible until published. Used by one task at a time."""

    @property
    def size(self) -> int:
        """Bytes written so far, with those of earlier processes."""

    async def write(self, data: bytes | memoryview) -> None:
        """Appends. May return before the bytes are on disk; its errors may come with a later call."""

    async def commit(self) -> int:
        """Makes durable all that was written, and gives the size. Only for a named one (`Blobs.resume`)."""

    async def inspect(self, judge: Callable[[Content], T]) -> T:
        """Waits for all that was written and gives judge(content), run in a thread if that may take long.

        The content must not outlive the call; of many bytes it is never all in memory at once.
        """

    async def publish(self) -> bytes:
        """Makes the bytes durable under their SHA-256 and returns it (32 bytes).

        The same bytes are kept once. Until `settle` is called, a crash lets the next start remove
        them again unless the catalog refers to them; of a named one it then still has what was committed.
        """

    async def publish_to(self, add: Callable[[bytes], Awaitable[T]]) -> T:
        """`publish`, and then `add` with the SHA-256, which must add an image of it to the catalog; gives
        what that gives. Where both can be made durable in one step they are: the bytes first, and no image
        without its bytes. What fails may come to light in `add`."""

    async def settle(self) -> None:
        """Says that the catalog refers to the published bytes. A named one is then gone."""

    async def discard(self) -> None:
        """Removes what was not settled. Safe to call at any time, more than once, never raises."""

    async def release(self) -> None:
        """Lets go of a named one, keeping what was committed for another `resume`. Never raises."""
