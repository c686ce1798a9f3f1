"""Renditions, which are images in another size or format: the request, the result and the server's limits."""

from dataclasses import dataclass
from operator import index
from typing import Literal

from conexiones.errors import InvalidField
from conexiones.gen.conexiones.v1 import images_pb2

_FITS = {
    "inside": images_pb2.Rendition.FIT_INSIDE,
    "cover": images_pb2.Rendition.FIT_COVER,
    "contain": images_pb2.Rendition.FIT_CONTAIN,
}
_FORMATS = {
    "jpeg": images_pb2.Rendition.FORMAT_JPEG,
    "png": images_pb2.Rendition.FORMAT_PNG,
    "webp": images_pb2.Rendition.FORMAT_WEBP,
    "avif": images_pb2.Rendition.FORMAT_AVIF,
}

_MAX_INT32 = 2**31 - 1
"""The largest number that the message can carry. Larger ones are sent as this, and the server refuses
them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    """Options of a rendition, which is upright and without metadata. The server decides options that are
    None.

    width, height: pixels. The fit "inside" takes one or both as upper bounds; the other fits need both.
    fit: "inside" is the whole image, never enlarged. "cover" is exactly width × height; what does not fit is
        cropped around the centre. "contain" is exactly width × height with the whole image between bars,
        which are transparent, or white in a JPEG.
    format: by default that of the original, but JPEG for HEIF, and PNG for GIF, TIFF and BMP.
    quality: 1 to 100, by default 80, or 60 for AVIF; PNG has no quality.
    animated: keep the animation of a GIF, WEBP or AVIF, as WEBP; otherwise it is of the first frame.
    keep_profile: keep the image's colour profile; otherwise the colours are converted to sRGB.

    An option that makes no sense raises InvalidField when the rendition is asked for, with a `field` such as
    "rendition.width". A rendition that cannot be made within the server's limits raises NoRendition.
    """

    width: int | None = None
    height: int | None = None
    fit: Literal["inside", "cover", "contain"] | None = None
    format: Literal["jpeg", "png", "webp", "avif"] | None = None
    quality: int | None = None
    animated: bool = False
    keep_profile: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RenditionLimits:
    """The limits of the renditions that the server makes."""

    max_side: int
    """The largest width and the largest height, in pixels."""
    max_pixels: int
    """The largest width × height (× frames if animated) of the image, and of the rendition."""
    max_quality: int
    max_seconds: float
    """How long making one rendition may take, in seconds."""
    formats: tuple[str, ...]
    """Some of JPEG, PNG, WEBP and AVIF."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenditionInfo:
    """A rendition as it was made. It describes the bytes that came, not the image they were made from."""

    format: str
    """JPEG, PNG, WEBP or AVIF."""
    width: int
    height: int
    frames: int
    """More than 1 if the rendition is animated."""
    size_bytes: int
    sha256: bytes
    etag: str
    content_type: str


def message(wanted: Rendition) -> images_pb2.Rendition:
    """The protobuf message for these options. Raises InvalidField for an unknown fit or format, and for what
    is no whole number."""
    if wanted.fit is not None and wanted.fit not in _FITS:
        raise InvalidField(field="rendition.fit", takes="inside, cover or contain")
    if wanted.format is not None and wanted.format not in _FORMATS:
        raise InvalidField(field="rendition.format", takes="jpeg, png, webp or avif")
    return images_pb2.Rendition(
        width=_number("width", wanted.width),
        height=_number("height", wanted.height),
        fit=_FITS[wanted.fit] if wanted.fit else None,
        format=_FORMATS[wanted.format] if wanted.format else None,
        quality=_number("quality", wanted.quality),
        animated=wanted.animated,
        keep_profile=wanted.keep_profile,
    )


def info(found: images_pb2.RenditionInfo) -> RenditionInfo:
    return RenditionInfo(
        format=found.format,
        width=found.width,
        height=found.height,
        frames=found.frames,
        size_bytes=found.size_bytes,
        sha256=found.sha256,
        etag=found.etag,
        content_type=found.content_type,
    )


def _number(name: str, value: int | None) -> int:
    try:
        return max(-1, min(index(value or 0), _MAX_INT32))
    except TypeError:
        raise InvalidField(field=f"rendition.{name}", takes="a whole number") from None


def limits(found: images_pb2.RenditionLimits) -> RenditionLimits:
    return RenditionLimits(
        max_side=found.max_side,
        max_pixels=found.max_pixels,
        max_quality=found.max_quality,
        max_seconds=found.max_seconds,
        formats=tuple(
            name.removeprefix("FORMAT_")
            for name, value in images_pb2.Rendition.Format.items()
            if value in found.formats
        ),
    )
