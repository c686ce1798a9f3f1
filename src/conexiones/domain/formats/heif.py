"""AVIF and HEIF: ISO/IEC 23008-12 and AV1 Image File Format, in the boxes of ISO/IEC 14496-12."""

import struct

from conexiones.domain.formats.boxes import Box, boxes, fullbox, only
from conexiones.domain.formats.header import Buffer, ImageHeader
from conexiones.domain.formats.heif_items import check_extents, properties_of
from conexiones.errors import CorruptImage, TruncatedImage
from conexiones.image_formats import ImageFormat

_SIZE = struct.Struct(">4xII")
_APERTURE = struct.Struct(">8i")


def probe_avif(data: Buffer) -> ImageHeader:
    """The header of a whole AVIF."""
    return _probe("AVIF", data)


def probe_heif(data: Buffer) -> ImageHeader:
    """The header of a whole HEIF."""
    return _probe("HEIF", data)


def peek_avif(head: Buffer, *, full: bool) -> ImageHeader:
    """What the meta box says, once all of it is there."""
    return _peek("AVIF", head, full=full)


def peek_heif(head: Buffer, *, full: bool) -> ImageHeader:
    """What the meta box says, once all of it is there."""
    return _peek("HEIF", head, full=full)


def _probe(format: ImageFormat, data: Buffer) -> ImageHeader:
    """A file is whole if every box, and the bytes of every item, end inside it."""
    size = len(data)
    metas: list[Box] = []
    for box in boxes(format, data, 0, size):
        if not box.kind.isascii() or not box.kind.decode("ascii").isprintable():
            break  # Phones append data of their own after the last box.
        if box.end > size:
            raise TruncatedImage(format=format)
        if box.kind == b"meta":
            metas.append(box)
    if not metas:
        raise TruncatedImage(format=format)
    children = _children(format, data, metas[0])
    check_extents(format, data, children)
    return _primary_header(format, data, children)


def _peek(format: ImageFormat, head: Buffer, *, full: bool) -> ImageHeader:
    size = len(head)
    for box in boxes(format, head, 0, size):
        if box.end > size:
            break
        if box.kind == b"meta":
            return _primary_header(format, head, _children(format, head, box))
    raise TruncatedImage(format=format)


def _children(format: ImageFormat, data: Buffer, meta: Box) -> dict[bytes, list[Box]]:
    """The boxes in the meta box, by type. Raises CorruptImage where one reaches past its end."""
    found: dict[bytes, list[Box]] = {}
    for box in boxes(format, data, meta.start + 4, meta.end):
        if box.end > meta.end:
            raise CorruptImage(format=format)
        found.setdefault(box.kind, []).append(box)
    return found


def _primary_header(format: ImageFormat, data: Buffer, children: dict[bytes, list[Box]]) -> ImageHeader:
    """The size of the primary item, its transformations applied in the order in which libheif applies them.

    It is that of ispe, cut by clap and turned by irot. Mirroring (imir) changes no size, and the
    orientation in an Exif item has no say (ISO/IEC 23008-12, 6.5.10).
    """
    try:
        version, content = fullbox(format, data, only(format, children, b"pitm"))
        (primary,) = struct.unpack_from(">H" if version == 0 else ">I", content, 4)
        transformations = properties_of(format, data, children, primary)
        size: tuple[int, int] | None = None
        for kind, content in transformations:
            if kind == b"ispe":
                size = _SIZE.unpack_from(content)
        if size is None:
            raise CorruptImage(format=format)
        for kind, content in transformations:
            if kind == b"clap":
                size = _clap(format, content, size)
            elif kind == b"irot" and content[0] & 1:
                size = size[1], size[0]
    except (struct.error, IndexError):
        # All of the meta box is there, so this is no truncation.
        raise CorruptImage(format=format) from None
    width, height = size
    if not width or not height:
        raise CorruptImage(format=format)
    return ImageHeader(format=format, width=width, height=height)


def _clap(format: ImageFormat, content: bytes, size: tuple[int, int]) -> tuple[int, int]:
    """The size that the clean aperture leaves (ISO/IEC 14496-12, 12.1.4), rounded as libheif rounds it."""
    width, width_over, height, height_over = _APERTURE.unpack_from(content)[:4]
    if width_over <= 0 or height_over <= 0:
        raise CorruptImage(format=format)
    cut = (width + width_over // 2) // width_over, (height + height_over // 2) // height_over
    if not (0 < cut[0] <= size[0] and 0 < cut[1] <= size[1]):
        raise CorruptImage(format=format)
    return cut
