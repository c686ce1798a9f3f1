"""The catalog: users, images, uploads, events and facts, as rows."""

from collections.abc import Collection
from typing import Protocol

from conexiones.ports.records import (
    Counts,
    EventRecord,
    Facts,
    ImageRecord,
    UploadQuota,
    UploadRecord,
    UserRecord,
)


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
