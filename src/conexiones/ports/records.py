"""The records that ports move."""

from dataclasses import dataclass


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
