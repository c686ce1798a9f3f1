"""The records that ports move. Times are in microseconds since the epoch, UTC."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from conexiones.errors import PreviewProblem
from conexiones.image_formats import ImageFormat
from conexiones.principals import Allowance, Terms

UploadState = Literal["OPEN", "READY", "REJECTED", "FAILED", "CANCELLED", "EXPIRED"]
EventKind = Literal["STORED", "DESCRIBED", "DELETED"]
ColorSpace = Literal["RGB", "GREY", "CMYK", "LAB"]
Fit = Literal["INSIDE", "COVER", "CONTAIN"]
RenditionFormat = Literal["JPEG", "PNG", "WEBP", "AVIF"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """An image as stored.

    `size` is in bytes, width × height in pixels; `digest` is the SHA-256 of the bytes. `name` is that of the
    file it came from, None if it was not given. `owner` is empty if it belongs to nobody.
    """

    id: str
    digest: bytes
    size: int
    format: ImageFormat
    width: int
    height: int
    frames: int
    user: str | None
    create_time: int
    name: str | None = None
    owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What decoding showed of an image. With a `problem` it could not be decoded, and all else is empty.

    `bits_per_sample` is of the samples as stored; `dominant_color` is "#rrggbb" in sRGB.
    """

    problem: PreviewProblem | Literal[""] = ""
    color_space: ColorSpace | Literal[""] = ""
    bits_per_sample: int = 0
    has_alpha: bool = False
    dominant_color: str = ""
    blur_hash: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to make a rendition, with nothing left open. `width` and `height` are in pixels, 0 for any.

    The name under which a rendition is kept is made of these fields: where they change, kept ones are no
    longer found.
    """

    width: int
    height: int
    fit: Fit
    format: RenditionFormat
    quality: int  # 1 to 100; 0 with PNG
    animated: bool
    keep_profile: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A rendition as it was made.

    `size` and `sha256` are of its bytes; width × height are pixels of a frame.
    """

    format: RenditionFormat
    width: int
    height: int
    frames: int
    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRecord:
    """A user as stored. No two of one owner have the same name."""

    name: str
    owner: str = ""
    pow: int
    image_id: str | None
    create_time: int
    update_time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRecord:
    """An upload as stored.

    `client` is the key of the client that created it (shares.Caller), empty if that is not known. `failure`
    is set where the state is REJECTED or FAILED: JSON of the domain. `name` is the one that the image gets,
    and so is `owner`. `ticket` is the id of the ticket with which it was created, empty without one. No two
    uploads of one owner and ticket have the same `request_id`.
    """

    id: str
    request_id: str
    state: UploadState
    committed_size: int
    declared_size: int | None
    writer_epoch: int
    client: str
    user: str | None
    image_id: str | None
    failure: str | None
    create_time: int
    update_time: int
    name: str | None = None
    owner: str = ""
    ticket: str = ""


class StoredBy(NamedTuple):
    """The request that stores an image at once: what its upload has besides the image. `id` is that of the
    upload; the others are as in UploadRecord."""

    id: str
    request_id: str
    client: str
    ticket: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an owner has, and what was stored with a ticket."""

    stored_bytes: int = 0
    stored_images: int = 0
    open_uploads: int = 0
    ticket_bytes: int = 0
    ticket_images: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """The limits that an image has to be within when it is stored: those of its owner, and the terms of the
    ticket with which it is stored, whose id is `ticket`; empty without one."""

    allowance: Allowance
    ticket: str = ""
    terms: Terms | None = None

    @property
    def limits_images(self) -> bool:
        """Whether anything has to be counted when an image is added."""
        limits = (self.allowance.stored_bytes, self.allowance.stored_images)
        return self.ticket != "" or any(limit is not None for limit in limits)

    def check(self, usage: Usage, size: int) -> None:
        """Whether one more image of that size is within the limits. Raises QuotaExceeded, TicketUsedUp."""
        if self.terms:
            self.terms.check_spent(images=usage.ticket_images + 1, bytes=usage.ticket_bytes + size)
        self.allowance.check_stored(images=usage.stored_images + 1, bytes=usage.stored_bytes + size)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadQuota:
    """The most OPEN uploads there may be at once, and the most bytes of all of them together.

    An upload counts with its declared size, or with the committed one if that is more. A client has a share
    of both: half of what all others leave, or all of that if it holds nothing yet.
    """

    uploads: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadTerms:
    """How long an upload may be OPEN, in microseconds.

    Its time is over `idle` after its last commit or its last new writer, and `total` after it was created;
    while it has no byte, `quiet` after it was created.

    An upload is quiet if it had no commit and no new writer for `quiet`, or if after that time it is behind:
    since it was created it got less than `least_rate` bytes in a second, or less than it takes to have its
    declared size within `total`. Quiet uploads end when others need their room.
    """

    idle: int
    total: int
    quiet: int
    least_rate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """What happened to an image. `sequence` increases by one with every event, also over restarts."""

    sequence: int
    kind: EventKind
    image_id: str
    user: str | None
    time: int
    owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much is stored. `image_bytes` is the sum of the sizes of all images."""

    images: int
    image_bytes: int
    users: int
    open_uploads: int
