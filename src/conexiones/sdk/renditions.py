"""Other forms of an image: what may be asked for, and what came."""

from dataclasses import dataclass
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

_MOST = 2**31 - 1
"""What the wire can carry: more is sent as this, and the server says what it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendition:
    """Another form of an image, upright and without metadata; what is None is left to the server.

    width, height: pixels. With the fit "inside" one of them is enough, and both are bounds; the other fits
        take both.
    fit: "inside" has the whole image, never enlarged; "cover" is exactly width × height, and what does not
        fit is cut off around the centre; "contain" is too, with the whole image between transparent bars, or
        white ones in a JPEG.
    format: by default as the original, JPEG for HEIF, PNG for GIF, TIFF and BMP.
    quality: 1 to 100, by default 80, of AVIF 60; not of PNG.
    animated: keep the animation of a GIF or WEBP, as WEBP; otherwise its first frame.
    keep_profile: keep the image's colour profile; otherwise the colours are converted to sRGB.

    What makes no sense raises InvalidField where it is asked for, with a `field` such as "rendition.width";
    what cannot be made within the server's limits NoRendition.
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
    """What the server makes."""

    max_side: int
    """Pixels, of width and of height."""
    max_pixels: int
    """Width × height (× frames, animated) of an image, and of a rendition."""
    max_quality: int
    max_seconds: float
    """How long making one may take."""
    formats: tuple[str, ...]
    """Of JPEG, PNG, WEBP and AVIF."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenditionInfo:
    """A rendition as it was made: not its image, but the bytes that came."""

    format: str
    """JPEG, PNG, WEBP or AVIF."""
    width: int
    height: int
    frames: int
    """More than 1 if it is animated."""
    size_bytes: int
    sha256: bytes
    etag: str
    content_type: str


def message(wanted: Rendition) -> images_pb2.Rendition:
    """As it is asked for. Raises InvalidField for a fit or a format that is none."""
    if wanted.fit is not None and wanted.fit not in _FITS:
        raise InvalidField(field="rendition.fit", takes="inside, cover or contain")
    if wanted.format is not None and wanted.format not in _FORMATS:
        raise InvalidField(field="rendition.format", takes="jpeg, png, webp or avif")
    return images_pb2.Rendition(
        width=_number(wanted.width),
        height=_number(wanted.height),
        fit=_FITS[wanted.fit] if wanted.fit else None,
        format=_FORMATS[wanted.format] if wanted.format else None,
        quality=_number(wanted.quality),
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


def _number(value: int | None) -> int:
    return max(-1, min(value or 0, _MOST))


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
