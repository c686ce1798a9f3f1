"""Immutable bytes by their digest."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol, TypeVar

from conexiones.ports.staging import Content

T = TypeVar("T")


class Blobs(Protocol):
    """Immutable bytes by their SHA-256 (32 bytes). All methods may be called at once, for one digest too.

    They raise StorageUnavailable, and BlobCorrupt for bytes that are not there or not what was stored.
    """

    @property
    def largest_local(self) -> int | None:
        """The bytes of the largest blob of which `local` can give a file; None if it can of all."""

    def read(self, digest: bytes, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """The bytes from an offset on, in pieces of at most 1 MiB."""

    def cached(self, digest: bytes) -> bytes | None:
        """All of the bytes if they are in memory, as those of small blobs are that were read of late. A blob
        that was deleted is not."""

    def check(self, digest: bytes) -> AsyncIterator[int]:
        """Reads all of the bytes from where they are stored, rather than from memory, and gives the number of
        those of each piece. BlobCorrupt if not all of them are what was stored."""

    async def read_ahead(self, digests: Sequence[bytes]) -> None:
        """Says that `local` or `inspect` follows soon for each of these. Where that takes fewer requests,
        small ones that were stored together are brought into memory, as far as there is room. Raises nothing:
        what fails is tried again when it is asked for."""

    def local(self, digest: bytes) -> AbstractAsyncContextManager[Path]:
        """A local file of the bytes, which were checked, while the context lasts, to be read only. Raises
        StorageFull, and ServerBusy while others have all the room for such files."""

    async def inspect(self, digest: bytes, judge: Callable[[Content], T]) -> T:
        """Gives judge(content), run in a thread, and raises what the judge raises. The content must not
        outlive the call, and is checked as it is looked at. Of many bytes it is never all in memory at
        once."""

    def removing(self, digest: bytes) -> AbstractAsyncContextManager[None]:
        """The context of a call of the catalog's `delete_image`: when it ends, `delete` is done. Should a
        crash come in between, or the call be cancelled, or `delete` fail, the next start does it."""

    async def delete(self, digest: bytes) -> None:
        """Deletes a blob unless the catalog refers to it. Where its store belongs to one process, it stays,
        too, until uploads that have published it are settled. A blob that is not there is no error. Is done
        whole even if the caller is cancelled."""
