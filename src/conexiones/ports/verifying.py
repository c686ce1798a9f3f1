"""What the verification of stored images needs. A Catalog and a Blobs have it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

Damage = Literal["bytes", "row"]
"""What of an image is damaged: its bytes, or what the catalog has of it."""


class KnownContents(Protocol):
    """Of a Catalog, whether any image has these bytes. Raises StorageUnavailable."""

    async def has_digest(self, digest: bytes) -> bool: ...


class CheckedBlobs(Protocol):
    """The check of Blobs."""

    def check(self, digest: bytes) -> AsyncIterator[int]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """How far a round through all images has come, or what it was when it finished. Times are microseconds
    since the epoch, 0 for never."""

    begin_time: int = 0
    finish_time: int = 0
    images: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrubState:
    """What is remembered of the rounds over restarts.

    `before` is the id down to which the round under way has come. `damaged` has all images that are known to
    be damaged, by id: the digest of the bytes, in hexadecimal, or nothing where the row is damaged.
    """

    current: Round = Round()
    before: str | None = None
    finished: Round = Round()
    damaged: dict[str, str] = field(default_factory=dict)


class ScrubLog(Protocol):
    """Where a ScrubState is kept. Methods raise StorageFull and StorageUnavailable."""

    async def load(self) -> ScrubState:
        """The state that was saved last, or the one of the beginning."""

    async def save(self, state: ScrubState) -> None: ...
