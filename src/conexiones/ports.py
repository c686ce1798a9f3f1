"""What the domain needs from outside: small protocols, and the records they move.

An adapter may be called from several tasks at once unless a docstring says otherwise. Adapters turn the
failures of their backend into StorageFull (no space, quota, file size) and StorageUnavailable (anything
else), with the cause chained; a coroutine that was cancelled leaves nothing half done.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, overload

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
class Facts:
    """What decoding showed of an image; with a `problem`, a cause of NoPreview, it showed nothing.

    `bits_per_sample` of the samples as stored; `dominant_color` is "#rrggbb" in sRGB.
    """

    problem: str = ""
    color_space: str = ""  # RGB GREY CMYK LAB
    bits_per_sample: int = 0
    has_alpha: bool = False
    dominant_color: str = ""
    blur_hash: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to make a rendition, with nothing left open. `width` and `height` in pixels, 0 for any.

    The fields are part of the names of what is kept: a change forgets it.
    """

    width: int
    height: int
    fit: str  # INSIDE COVER CONTAIN
    format: str  # JPEG PNG WEBP AVIF
    quality: int  # 1 to 100; 0 with PNG
    animated: bool
    keep_profile: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A rendition as it was made: pixels of one frame, and the bytes of the file."""

    format: str
    width: int
    height: int
    frames: int
    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRecord:
    """A user as stored. Times are in microseconds since the epoch, UTC."""

    name: str
    pow: int
    image_id: str | None
    create_time: int
    update_time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRecord:
    """An upload as stored. `failure` is JSON that the domain reads, with REJECTED and FAILED."""

    id: str
    request_id: str
    state: str  # OPEN READY REJECTED FAILED CANCELLED EXPIRED
    committed_size: int
    declared_size: int | None
    writer_epoch: int
    user: str | None
    image_id: str | None
    failure: str | None
    create_time: int
    update_time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadQuota:
    """What all OPEN uploads may be together: so many, and so many bytes, of each its declared size, or the
    committed one if that is more."""

    uploads: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """What happened to an image. `sequence` increases by one with every event, over restarts too."""

    sequence: int
    kind: str  # STORED DESCRIBED DELETED
    image_id: str
    user: str | None
    time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much there is; `image_bytes` adds up the sizes of all images."""

    images: int
    image_bytes: int
    users: int
    open_uploads: int


class Catalog(Protocol):
    """Users, images, uploads. What a method returned is durable and visible to all that come after.

    Adding an image, by whichever method, and deleting one appends an event in the same transaction.
    """

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def add_image(self, image: ImageRecord) -> None:
        """Adds an image whose blob is durable. Ids are unique; one digest may have many images."""

    async def get_image(self, image_id: str) -> ImageRecord | None: ...

    async def list_images(
        self, *, limit: int, before: str | None, user: str | None, start: int | None, end: int | None
    ) -> list[ImageRecord]:
        """At most `limit` images, newest first by id, of ids less than `before`; `start` <= create_time
        < `end`; None does not filter."""

    async def delete_image(self, image_id: str, *, now: int) -> ImageRecord | None:
        """Deletes an image and gives what it was; a user whose image it was has none then."""

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

    async def counts(self) -> Counts:
        """How much there is: it takes the longer the more that is."""

    async def create_upload(self, upload: UploadRecord, *, quota: UploadQuota | None = None) -> UploadRecord:
        """Adds an upload, or gives the one that has its request_id already.

        Raises TooManyUploads or UploadBytesExceeded, and adds nothing, if all together would be more than the
        quota; of several at once no more come in than fit.
        """

    async def get_upload(self, upload_id: str) -> UploadRecord | None: ...

    async def claim_upload(self, upload_id: str, *, now: int) -> UploadRecord | None:
        """Raises writer_epoch by one if the upload is OPEN; gives it as it is then."""

    async def advance_upload(
        self, upload_id: str, *, epoch: int, size: int, now: int, quota: UploadQuota | None = None
    ) -> UploadRecord | None:
        """Sets committed_size and update_time if the upload is OPEN, has that epoch and is not longer
        already; gives it as it is then.

        Raises UploadBytesExceeded, and changes nothing, if that would be more than the quota. An upload with
        a declared size had its room from the start."""

    async def end_upload(
        self, upload_id: str, *, state: str, image: ImageRecord | None, failure: str | None, now: int
    ) -> UploadRecord | None:
        """Ends an OPEN upload, adding its image in the same transaction; gives the upload as it is then:
        one that has ended already is left as it was, and the image is not added."""

    async def stale_uploads(self, *, idle_since: int, created_before: int) -> list[str]:
        """The ids of OPEN uploads not updated since, or created before."""

    async def forget_uploads(self, *, ended_before: int) -> int:
        """Removes uploads that ended (their update_time) before; gives how many."""

    async def events(self, *, after: int, limit: int) -> list[EventRecord]:
        """The events of greater sequence, in order."""

    async def event_range(self) -> tuple[int, int]:
        """The sequence before the oldest event kept, and that of the newest: (n, n) if none is kept."""

    async def forget_events(self, *, keep: int) -> None:
        """Removes all events but the newest `keep`."""

    async def changed(self, after: int) -> None:
        """Waits until there is an event of greater sequence."""


class Descriptions(Protocol):
    """The facts of images, by the digest of their bytes: beside a Catalog, in the same transactions.

    They go with the last image that has the bytes.
    """

    async def facts(self, digests: Collection[bytes]) -> dict[bytes, Facts]:
        """Those that are known, of at most 1,000 digests."""

    async def put_facts(self, digest: bytes, facts: Facts, *, now: int) -> None:
        """Sets the facts, and appends an event for every image that has the bytes; without one it does
        nothing."""

    async def undescribed(self, *, before: str | None, limit: int) -> list[ImageRecord]:
        """Images without facts, or with a problem that may have been a passing one (SECONDS, MEMORY, CRASH):
        newest first by id, of ids less than `before`."""


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


class Decoder(Protocol):
    """Decodes pixels, away from the server's own process."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def preview(self, path: Path, *, format: str, side: int) -> bytes:
        """A JPEG in sRGB that fits into side × side pixels, upright, over white where transparent.

        Never larger than the image itself. Raises NoPreview if the file cannot be decoded, or not
        within the time and memory allowed; a crash of the decoder ends this call only.
        """

    async def describe(self, path: Path, *, format: str) -> Facts:
        """What decoding shows of a file. Raises NoPreview as `preview` does."""

    async def render(self, path: Path, into: Path, *, format: str, recipe: Recipe) -> Rendered:
        """Makes a rendition and writes it to the new file `into`, not durably. Raises NoPreview as `preview`
        does, StorageFull and StorageUnavailable; the file may be there all the same, in part."""


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
