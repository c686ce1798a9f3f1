"""The catalog: users, images, uploads, events and facts, as rows."""

from collections.abc import Collection
from typing import Protocol

from conexiones.ports.records import (
    Charge,
    Counts,
    EventRecord,
    Facts,
    ImageRecord,
    StoredBy,
    UploadQuota,
    UploadRecord,
    UploadState,
    UploadTerms,
    Usage,
    UserRecord,
)


class Catalog(Protocol):
    """Users, images, uploads and events. All methods may be called at once.

    What a method returned is durable, and every call that begins later sees it. Each method that writes is
    one transaction; a write whose caller is cancelled is done whole or not at all, and the caller can ask
    which. Adding an image, by whichever method, and deleting one appends an event in the same transaction.

    Methods raise StorageFull and StorageUnavailable, and then nothing is written. Those that add an image
    with a `charge` raise QuotaExceeded and TicketUsedUp, with nothing written either: they count what there
    is in the transaction that adds the image, so that the limits hold for calls at once too.
    """

    async def add_image(self, image: ImageRecord, *, charge: Charge | None = None) -> None:
        """Adds an image whose blob is durable, or becomes so in one step with it. StorageUnavailable if its
        id is there already; one digest may have many images."""

    async def get_image(self, image_id: str) -> ImageRecord | None: ...

    async def list_images(
        self,
        *,
        limit: int,
        before: str | None,
        user: str | None,
        start: int | None,
        end: int | None,
        name: str | None = None,
        digests: Collection[bytes] = (),
        owner: str | None = None,
    ) -> list[ImageRecord]:
        """At most `limit` images, newest first by id: those with ids less than `before`, of that user, with
        `start` <= create_time < `end`, whose name contains `name` in whatever case, which have one of the
        at most 1,000 digests, and which belong to that owner; an empty one has none. None, or no digest, does
        not filter."""

    async def every_image(self, *, before: str | None, limit: int) -> list[tuple[ImageRecord, bool]]:
        """At most `limit` images, newest first by id: those with ids less than `before`, each with whether
        its row is what was written. `list_images` leaves out those of which it is not."""

    async def delete_image(self, image_id: str, *, now: int) -> ImageRecord | None:
        """Deletes an image and gives what it was, or None if it is not there. A user whose image it was has
        none then."""

    async def put_user(
        self,
        name: str,
        *,
        owner: str = "",
        pow: int | None,
        image: ImageRecord | None,
        now: int,
        charge: Charge | None = None,
    ) -> UserRecord:
        """Registers or updates a user of an owner and gives it as it is then. None leaves what is stored.

        The image, if given, is added in the same transaction. A new user has pow 0 and no image unless
        given. Of two calls at once, the second sees all that the first has written.
        """

    async def get_user(self, name: str, *, owner: str = "") -> UserRecord | None: ...

    async def has_digest(self, digest: bytes) -> bool:
        """Whether any image has these bytes."""

    async def identity(self) -> int:
        """The number that `set_identity` gave the catalog; 0 if it has none yet."""

    async def set_identity(self, identity: int) -> None:
        """Gives the catalog a number of 31 bits, not 0. The store of its blobs has the same."""

    async def counts(self, *, owner: str | None = None) -> Counts:
        """How much there is, of all or of an owner. The more there is, the longer it takes."""

    async def usage(self, owner: str, *, ticket: str = "") -> Usage:
        """What an owner has, and what was stored with a ticket. Of a ticket, only the uploads count as open
        that were begun with it. Nothing is counted for the empty owner, nor for the empty ticket."""

    async def create_upload(
        self, upload: UploadRecord, *, quota: UploadQuota | None = None, charge: Charge | None = None
    ) -> UploadRecord:
        """Adds an upload and gives it, or gives the one of its owner and ticket that has its request_id.

        Raises QuotaExceeded or TicketUsedUp if there is no room by `charge` for one more open upload, or for
        an image of its declared size, and TooManyUploads or UploadBytesExceeded if its client's share of the
        quota has no room for it; then it adds nothing. That holds for calls at once too.
        """

    async def add_stored(
        self, image: ImageRecord, by: StoredBy, *, charge: Charge | None = None
    ) -> UploadRecord | None:
        """Adds an image, and an upload that is READY with it and has its size, names, owner and time. If the
        owner and the ticket have an upload with the same request_id, it gives that, and adds nothing; the
        charge does not count then."""

    async def get_upload(self, upload_id: str) -> UploadRecord | None: ...

    async def find_upload(self, request_id: str, *, owner: str, ticket: str) -> UploadRecord | None:
        """The upload of an owner and ticket that has that request_id."""

    async def claim_upload(self, upload_id: str, *, now: int) -> UploadRecord | None:
        """Increases writer_epoch by one if the upload is OPEN, and gives the upload as it is then."""

    async def advance_upload(
        self, upload_id: str, *, epoch: int, size: int, now: int, quota: UploadQuota | None = None
    ) -> UploadRecord | None:
        """Sets committed_size and update_time if the upload is OPEN, has that epoch, and its committed size
        is not greater already; gives the upload as it is then.

        Raises UploadBytesExceeded, and changes nothing, if its client's share of the quota has no room for so
        many bytes. An upload with a declared size has its room from the beginning.
        """

    async def end_upload(
        self,
        upload_id: str,
        *,
        state: UploadState,
        image: ImageRecord | None,
        failure: str | None,
        now: int,
        charge: Charge | None = None,
        epoch: int | None = None,
    ) -> UploadRecord | None:
        """Ends an OPEN upload, adds its image in the same transaction, and gives the upload as it is then. An
        upload that has ended already is left as it is, and the image is not added. So is one that has another
        epoch, if one is named: another writer has taken it."""

    async def expire_uploads(self, terms: UploadTerms, *, now: int) -> list[str]:
        """Makes the OPEN uploads EXPIRED whose time is over by the terms, and gives their ids."""

    async def make_room(
        self, upload: UploadRecord, *, quota: UploadQuota, terms: UploadTerms, now: int
    ) -> list[str]:
        """Makes uploads EXPIRED so that one finds room which was refused: `upload` as it would be, a new one
        or one with more committed bytes. Gives the ids of those that were ended.

        First the uploads end whose time is over. If that is not enough, quiet ones of clients that hold more
        than this one end too, beginning with the client that holds most; none of them if that would not be
        enough either. That is done for the only upload of a client, and for one with which the client holds
        at most an equal part of the quota: that of each client if there were one more.
        """

    async def shared_time(self, now: int) -> int:
        """`now`, in microseconds since the epoch, or the time by the clock that all servers on the catalog
        share, if that is earlier. What is forgotten for all goes by it: the clock of one server may be ahead,
        and so may the shared one be, while the times of what is forgotten are by the servers' clocks."""

    async def forget_uploads(self, *, ended_before: int, limit: int) -> int:
        """Removes at most `limit` of the uploads that ended (their update_time) before; gives how many."""

    async def events(self, *, after: int, limit: int) -> list[EventRecord]:
        """At most `limit` events of greater sequence, in order."""

    async def news(self, *, after: int, limit: int) -> list[tuple[EventRecord, ImageRecord | None]]:
        """The same events, each with its image as it is now; None if that was deleted."""

    async def event_range(self) -> tuple[int, int]:
        """The sequence before the oldest event that is kept, and that of the newest; (n, n) if none is."""

    async def forget_events(self, *, keep: int) -> None:
        """Removes all events but the newest `keep`."""

    async def changed(self, after: int) -> None:
        """Returns when there is an event of greater sequence."""


class Descriptions(Protocol):
    """The facts of images, by the digest of their bytes: beside a Catalog, in the same transactions.

    Facts are removed with the last image that has the bytes. Each have the number of the judge that found
    them: a newer version of the program may say something else of the same bytes, and then has a greater one.
    """

    async def facts(self, digests: Collection[bytes], *, judge: int = 0) -> dict[bytes, Facts]:
        """The facts that are known, of at most 1,000 digests, from judges of at least that number."""

    async def put_facts(self, image: ImageRecord, facts: Facts, *, judge: int, now: int) -> None:
        """Sets the facts of the image's bytes and their judge. Sets format, width, height and frames of every
        image that has the bytes to those of `image`. If any of that is news, except for the judge, it appends
        an event for every such image. If there is no such image it does nothing."""

    async def undescribed(self, *, before: str | None, limit: int) -> list[ImageRecord]:
        """At most `limit` images without facts, or with a problem that may be a passing one (SECONDS, MEMORY,
        CRASH; UNSUPPORTED, until another version decodes more): newest first by id, those with ids less than
        `before`."""

    async def judged_before(self, judge: int, *, before: str | None, limit: int) -> list[ImageRecord]:
        """At most `limit` images whose facts are from judges of smaller numbers, newest first by id, those
        with ids less than `before`."""
