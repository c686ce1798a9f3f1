"""The results of calls: frozen records with times in UTC, never protobuf messages."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TypeAlias

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from conexiones.errors import ConexionesError
from conexiones.gen import user_pb2
from conexiones.gen.conexiones.v1 import images_pb2, status_pb2, uploads_pb2
from conexiones.sdk import access, renditions
from conexiones.sdk.access import Access
from conexiones.sdk.failures import from_told
from conexiones.sdk.renditions import RenditionLimits
from conexiones.sdk.sources import AnySource, NewImage


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What decoding an image showed. An unknown field is empty or None, as all others are if `problem` is
    set."""

    problem: str = ""
    """Why it cannot be decoded: PIXELS, SECONDS, MEMORY, CORRUPT, CRASH or UNSUPPORTED; "" if it can."""
    color_space: str
    """RGB, GREY, CMYK or LAB."""
    bits_per_sample: int | None = None
    """1, 8, 16 or 32. None in replies of the tutorial's calls."""
    has_alpha: bool | None = None
    """None in replies of the tutorial's calls."""
    dominant_color: str
    """The most common colour, as "#rrggbb" in sRGB."""
    blur_hash: str
    """A placeholder to show while the image loads (https://blurha.sh)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image as stored. `width` and `height`: pixels as a person sees them (EXIF orientation applied)."""

    id: str
    format: str
    width: int
    height: int
    frames: int
    pixels: int
    """width × height."""
    size_bytes: int
    sha256: bytes
    create_time: datetime
    user: str = ""
    """The name of the user to whom it belongs. The tutorial's calls leave this and the next three fields
    empty."""
    etag: str = ""
    content_type: str = ""
    name: str = ""
    """The name of the file that it was uploaded from, if that was given."""
    owner: str = ""
    """Who stored it, such as "token:backend"; "" for callers who see only what is theirs."""
    facts: Facts | None = field(default=None, compare=False)
    """None until the image was decoded, soon after it was stored. Ignored when images are compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user as stored. `image_id` is empty if there is no image."""

    name: str
    pow: int
    pow_squared: int
    image_id: str
    create_time: datetime
    update_time: datetime


class UploadState(Enum):
    """The state of an upload. All states but OPEN are final. UNKNOWN is one that only a newer server has."""

    UNKNOWN = 0
    OPEN = 1
    READY = 2
    REJECTED = 3
    FAILED = 4
    CANCELLED = 5
    EXPIRED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An upload in its present state.

    committed_size: how many bytes are durable. size_bytes: the announced size, or None.
    """

    id: str
    state: UploadState
    committed_size: int
    size_bytes: int | None
    writer_epoch: int
    user: str
    create_time: datetime
    update_time: datetime
    expire_time: datetime
    image: Image | None
    """Set in the state READY."""
    failure: ConexionesError | None
    """Set in the states REJECTED and FAILED."""
    name: str = ""
    """The name that the image will have; empty if it was not given."""
    owner: str = ""
    """Who created it, as in `Image.owner`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the server accepts. Sizes are in bytes; `max_pixels` is width × height × frames."""

    max_image_bytes: int
    max_pixels: int
    max_message_bytes: int
    max_chunk_bytes: int
    preferred_chunk_bytes: int
    idle_expiry: timedelta
    total_expiry: timedelta
    server_version: str
    """Such as "1.2.3"; "" if the server is too old to say."""
    server_time: datetime | None
    """The server's clock when it answered; None if the server is too old to say."""
    max_open_uploads: int
    """How many uploads of all clients may be open at a time; 0 if the server has no limit."""
    max_open_bytes: int
    """The bytes that all open uploads may have together, where each counts with the size it announced, or
    with the bytes received if these are more; 0 if the server has no limit."""
    renditions: RenditionLimits | None
    """None if the server makes no renditions."""
    access: Access | None = None
    """Who this client is, its limits and its use of them; None if the server is too old to say."""
    max_small_bytes: int = 0
    """The largest image that is sent with a single call; 0 if the server is too old to have that call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What reading all stored images in the background has shown."""

    begin_time: datetime | None
    """When the round under way began; None between two rounds."""
    images: int
    """How many were read in the round under way."""
    bytes: int
    last_finish_time: datetime | None
    """When the last round finished; None if none has."""
    last_images: int
    last_bytes: int
    damaged_images: int
    """How many images are known to be damaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """What a server is, and what it holds of what the client may see."""

    version: str
    build: str
    """The commit that the program was built from; "" if that is not known."""
    schema_version: int
    """The number of the catalog's schema; 0 if the server is too old to say."""
    start_time: datetime
    images: int
    image_bytes: int
    """Of all images together. Bytes that several images share count for each of them."""
    users: int
    open_uploads: int
    verification: Verification | None
    """None for clients who see only what belongs to an owner, and if the server is too old to say."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An image was stored. Watching can be resumed after this event with `token`."""

    image: Image
    token: str


@dataclass(frozen=True, slots=True)
class Described:
    """The facts of a stored image became known. There is no such event for an image whose bytes were stored
    before: it has its facts from the start."""

    image: Image
    token: str


@dataclass(frozen=True, slots=True)
class Deleted:
    """The image of this id was deleted."""

    id: str
    token: str


@dataclass(frozen=True, slots=True)
class Resync:
    """Events are missing at this point: list the images again."""

    token: str


Event: TypeAlias = Stored | Described | Deleted | Resync


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """The reply of the tutorial's unary calls and of GetStreamImage. `message` is a sentence in Spanish."""

    message: str
    user: User | None
    image: Image | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReply:
    """The reply to one image of a stream: the `image` as stored, or the `error` for which it was refused."""

    message: str
    image: Image | None
    error: ConexionesError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserReply:
    """The reply to one user of a stream. `preview` is a JPEG of at most 256 × 256 pixels, or empty."""

    name: str
    pow: int
    """The user's pow squared; 0, with an error, if it does not fit in 32 bits."""
    preview: bytes
    user: User | None
    image: Image | None
    errors: tuple[ConexionesError, ...]
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """The outcome of one image of `upload_many`: the `image` as stored, or the `error` that refused it."""

    index: int
    """Its place among the sources, from 0."""
    source: AnySource | NewImage
    """What was given."""
    image: Image | None
    error: Exception | None
    """That of a call, of `conexiones.errors`; or of the source, such as an OSError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser:
    """One user to send in a stream: `image` is the bytes of a whole image file, or None."""

    name: str
    pow: int = 0
    image: bytes | None = None


# In any zone they are times that Python has, too.
_EARLIEST, _LATEST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


def time(stamp: Timestamp) -> datetime:
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):  # no time that Python has, from a server that is not in order
        return _LATEST if stamp.seconds > 0 else _EARLIEST


def _state(number: int) -> UploadState:
    try:
        return UploadState(number)
    except ValueError:
        return UploadState.UNKNOWN


def span(duration: Duration) -> timedelta:
    return duration.ToTimedelta()


def image(found: images_pb2.Image) -> Image:
    return Image(
        id=found.id,
        format=found.format,
        width=found.width,
        height=found.height,
        frames=found.frames,
        pixels=found.pixels,
        size_bytes=found.size_bytes,
        sha256=found.sha256,
        create_time=time(found.create_time),
        user=found.user,
        etag=found.etag,
        content_type=found.content_type,
        name=found.name,
        owner=found.owner,
        facts=_facts(found.facts) if found.HasField("facts") else None,
    )


def _facts(found: images_pb2.Facts) -> Facts:
    known = not found.problem
    return Facts(
        problem=found.problem,
        color_space=found.color_space,
        bits_per_sample=found.bits_per_sample if known else None,
        has_alpha=found.has_alpha if known else None,
        dominant_color=found.dominant_color,
        blur_hash=found.blur_hash,
    )


def image_info(found: user_pb2.ImageInfo) -> Image:
    return Image(
        id=found.id,
        format=found.format,
        width=found.width,
        height=found.height,
        frames=found.frames,
        pixels=found.pixels,
        size_bytes=found.size_bytes,
        sha256=found.sha256,
        create_time=time(found.create_time),
        facts=Facts(
            color_space=found.color_space, dominant_color=found.dominant_color, blur_hash=found.blur_hash
        )
        if found.color_space
        else None,
    )


def user(found: user_pb2.User) -> User:
    return User(
        name=found.name,
        pow=found.pow,
        pow_squared=found.pow_squared,
        image_id=found.image_id,
        create_time=time(found.create_time),
        update_time=time(found.update_time),
    )


def upload(found: uploads_pb2.Upload) -> Upload:
    return Upload(
        id=found.id,
        state=_state(found.state),
        committed_size=found.committed_size,
        size_bytes=found.size_bytes if found.HasField("size_bytes") else None,
        writer_epoch=found.writer_epoch,
        user=found.user,
        create_time=time(found.create_time),
        update_time=time(found.update_time),
        expire_time=time(found.expire_time),
        image=image(found.image) if found.HasField("image") else None,
        failure=from_told(found.failure) if found.HasField("failure") else None,
        name=found.name,
        owner=found.owner,
    )


def limits(found: uploads_pb2.GetLimitsResponse) -> Limits:
    return Limits(
        max_image_bytes=found.max_image_bytes,
        max_pixels=found.max_pixels,
        max_message_bytes=found.max_message_bytes,
        max_chunk_bytes=found.max_chunk_bytes,
        preferred_chunk_bytes=found.preferred_chunk_bytes,
        idle_expiry=span(found.idle_expiry),
        total_expiry=span(found.total_expiry),
        server_version=found.server_version,
        server_time=time(found.server_time) if found.HasField("server_time") else None,
        max_open_uploads=found.max_open_uploads,
        max_open_bytes=found.max_open_bytes,
        renditions=renditions.limits(found.renditions) if found.HasField("renditions") else None,
        access=access.access(found.access) if found.HasField("access") else None,
        max_small_bytes=found.max_small_bytes,
    )


def status(found: status_pb2.GetStatusResponse) -> ServerStatus:
    return ServerStatus(
        version=found.version,
        build=found.build,
        schema_version=found.schema_version,
        start_time=time(found.start_time),
        images=found.image_count,
        image_bytes=found.image_bytes,
        users=found.user_count,
        open_uploads=found.open_upload_count,
        verification=_verification(found.verification) if found.HasField("verification") else None,
    )


def _verification(found: status_pb2.Verification) -> Verification:
    return Verification(
        begin_time=time(found.begin_time) if found.HasField("begin_time") else None,
        images=found.image_count,
        bytes=found.image_bytes,
        last_finish_time=time(found.last_finish_time) if found.HasField("last_finish_time") else None,
        last_images=found.last_image_count,
        last_bytes=found.last_image_bytes,
        damaged_images=found.damaged_image_count,
    )


def greeting(found: user_pb2.GetUserReply) -> Greeting:
    return Greeting(
        message=found.message,
        user=user(found.user) if found.HasField("user") else None,
        image=image_info(found.image_info) if found.HasField("image_info") else None,
    )


def image_reply(found: user_pb2.GetImageReply) -> ImageReply:
    return ImageReply(
        message=found.message,
        image=image_info(found.image_info) if found.HasField("image_info") else None,
        error=from_told(found.error) if found.HasField("error") else None,
    )


def user_reply(found: user_pb2.GetAllReply) -> UserReply:
    return UserReply(
        name=found.name,
        pow=found.pow,
        preview=found.image,
        user=user(found.user) if found.HasField("user") else None,
        image=image_info(found.image_info) if found.HasField("image_info") else None,
        errors=tuple(map(from_told, found.errors)),
        message=found.message,
    )
