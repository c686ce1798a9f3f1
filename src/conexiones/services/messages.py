"""The records of the domain as messages of conexiones.v1."""

from collections.abc import Mapping
from dataclasses import asdict

from google.protobuf.timestamp_pb2 import Timestamp

from conexiones.domain.gallery import etag
from conexiones.domain.uploads import failure
from conexiones.errors import InvalidField
from conexiones.gen.conexiones.v1.images_pb2 import Facts as FactsMessage
from conexiones.gen.conexiones.v1.images_pb2 import Image, RenditionInfo
from conexiones.gen.conexiones.v1.uploads_pb2 import Upload
from conexiones.image_formats import media_type
from conexiones.ports.records import Facts, ImageRecord, Rendered, UploadRecord
from conexiones.principals import Principal
from conexiones.services.details import as_failure

_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
"""The seconds that google.protobuf.Timestamp may have: of the years 1 to 9999."""


def timestamp(micros: int) -> Timestamp:
    """Microseconds since the epoch."""
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)


def micros(time: Timestamp, *, field: str) -> int:
    """Microseconds since the epoch. Raises InvalidField unless it is a time that a Timestamp may have."""
    if not (_FIRST_SECOND <= time.seconds <= _LAST_SECOND and 0 <= time.nanos < 1_000_000_000):
        raise InvalidField(field=field, takes="a time of the years 1 to 9999")
    return int(time.seconds) * 1_000_000 + time.nanos // 1000


def image_message(image: ImageRecord, facts: Mapping[bytes, Facts], *, by: Principal) -> Image:
    """The message of an image for a caller. `facts` are the known ones, by digest."""
    known = facts.get(image.digest)
    return Image(
        id=image.id,
        format=image.format,
        width=image.width,
        height=image.height,
        frames=image.frames,
        pixels=image.width * image.height,
        size_bytes=image.size,
        sha256=image.digest,
        create_time=timestamp(image.create_time),
        user=image.user or "",
        etag=etag(image.digest),
        content_type=media_type(image.format),
        facts=FactsMessage(**asdict(known)) if known else None,
        name=image.name or "",
        owner=image.owner if by.knows_owners else "",
    )


def rendition_message(rendered: Rendered) -> RenditionInfo:
    return RenditionInfo(
        format=rendered.format,
        width=rendered.width,
        height=rendered.height,
        frames=rendered.frames,
        size_bytes=rendered.size,
        sha256=rendered.sha256,
        etag=etag(rendered.sha256),
        content_type=media_type(rendered.format),
    )


def upload_message(
    upload: UploadRecord,
    image: ImageRecord | None,
    facts: Mapping[bytes, Facts],
    *,
    expiry: int,
    by: Principal,
) -> Upload:
    """The message of an upload for a caller, and of its image if it has one. `expiry` is in microseconds."""
    error = failure(upload)
    return Upload(
        id=upload.id,
        state=f"STATE_{upload.state}",
        committed_size=upload.committed_size,
        size_bytes=upload.declared_size,
        writer_epoch=upload.writer_epoch,
        create_time=timestamp(upload.create_time),
        update_time=timestamp(upload.update_time),
        expire_time=timestamp(expiry),
        image=image_message(image, facts, by=by) if image else None,
        failure=as_failure(error) if error else None,
        user=upload.user or "",
        name=upload.name or "",
        owner=upload.owner if by.knows_owners else "",
    )
