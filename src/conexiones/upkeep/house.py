"""Where servers keep everything, as `conexiones migrate` sees it: what is left, and what is moved into."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from conexiones.adapters.catalog.sqlite.catalog_file import Contents
from conexiones.ports.verifying import ScrubState


class Small(NamedTuple):
    """A small content; no data where what is there is not what was stored."""

    content: Contents
    data: bytes | None


class OpenUpload(NamedTuple):
    """An upload under way, of which so many bytes were acknowledged."""

    id: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a house is, beside its rows."""

    identity: int
    newest_event: int
    scrub: ScrubState
    rows: int


class OldHouse(Protocol):
    """The house that is left. Nothing in it is changed, and no server uses it while it is open.

    `origin` says which one it is. Methods raise Problem, and what the adapters raise.
    """

    name: str
    origin: str

    async def open(self) -> None:
        """Raises Problem if a server runs, or if what is there cannot be moved."""

    async def close(self) -> None: ...

    async def check(self) -> None:
        """Whether it is still to be had."""

    async def totals(self) -> tuple[int, int, int]:
        """How many images there are, how many different contents they have, and the bytes of the contents."""

    def contents(self) -> AsyncIterator[list[Contents]]:
        """All contents, some at a time, in the order in which they came."""

    async def small(self, contents: Sequence[Contents]) -> list[Small]:
        """Small contents, of some MiB together. May be called at once."""

    def large(self, content: Contents) -> AsyncIterator[bytes]:
        """The bytes of a content. The last piece is given only if all of them have the digest; BlobCorrupt if
        not, or if it is not there."""

    async def where(self, content: Contents) -> str:
        """Where a content should be, for the operator."""

    async def images_of(self, content: Contents, limit: int) -> list[str]:
        """The ids of images that have it, at most so many."""

    async def uploads(self) -> list[OpenUpload]: ...

    def upload(self, upload: OpenUpload) -> AsyncIterator[bytes]:
        """Its acknowledged bytes. BlobCorrupt if they are not there."""

    def rows(self, table: str) -> AsyncIterator[list[tuple[Any, ...]]]:
        """All rows of one of TABLES, some at a time."""

    async def about(self) -> About: ...


class NewHouse(Protocol):
    """The house that is moved into. No server uses it before `complete`. Methods raise as those above."""

    name: str

    async def open(self, origin: str) -> None:
        """Raises Problem if there is something else. Changes nothing."""

    async def close(self) -> None: ...

    async def begin(self) -> None:
        """Goes on with what an earlier run from the same origin has left, or begins."""

    async def check(self) -> None:
        """Whether it is still to be had."""

    async def missing(self, contents: Sequence[Contents]) -> list[Contents]:
        """Those that are not there yet."""

    async def add_small(self, contents: Sequence[tuple[bytes, bytes]]) -> None:
        """Adds small contents, by their digests, of some MiB together. May be called at once."""

    async def add_large(self, content: Contents, pieces: AsyncIterator[bytes]) -> None:
        """Adds a content. Raises what the pieces raise, and then adds nothing."""

    async def forget_uploads(self) -> None:
        """Forgets what an earlier run has added of uploads, which may have moved on since."""

    async def add_upload(self, upload: OpenUpload, pieces: AsyncIterator[bytes]) -> None:
        """The same as `add_large`."""

    async def complete(
        self, old: OldHouse, about: About, lacking: Sequence[bytes], on_rows: Callable[[int], None]
    ) -> None:
        """Adds all rows, and lets servers use the house: all of that, or nothing. Of the digests `lacking` no
        bytes are there. `on_rows` is called with the number of rows that were added."""
