"""AVIF and HEIF: ISO/IEC 23008-12 and AV1 Image File Format, in the boxes of ISO/IEC 14496-12."""

import struct

from conexiones.domain.formats.boxes import Box, boxes, fullbox, only
from conexiones.domain.formats.facts import Buffer, Facts
from conexiones.domain.formats.heif_items import check_extents, properties_of
from conexiones.errors import CorruptImage, TruncatedImage

_SIZE = struct.Struct(">4xII")
_APERTURE = struct.Struct(">8i")


def probe_avif(data: Buffer) -> Facts:
    """The facts of a whole AVIF."""
    return _probe("AVIF", data)


def probe_heif(data: Buffer) -> Facts:
    """The facts of a whole HEIF."""
    return _probe("HEIF", data)


def describe_avif(head: Buffer, *, full: bool) -> Facts:
    """The facts from the meta box, once all of it is there."""
    return _describe("AVIF", head, full=full)


def describe_heif(head: Buffer, *, full: bool) -> Facts:
    """The facts from the meta box, once all of it is there."""
    return _describe("HEIF", head, full=full)


def _probe(format: str, data: Buffer) -> Facts:
    """Whole: every box ends inside the file, and so do the bytes of every item."""
    size = len(data)
    metas: list[Box] = []
    for box in boxes(format, data, 0, size):
        if not box.kind.isascii() or not box.kind.decode("ascii").isprintable():
            break  # Phones put trailers of their own behind the last box.
        if box.end > size:
            raise TruncatedImage(format=format)
        if box.kind == b"meta":
            metas.append(box)
    if not metas:
        raise TruncatedImage(format=format)
    children = _children(format, data, metas[0])
    check_extents(format, data, children)
    return _facts(format, data, children)


def _describe(format: str, head: Buffer, *, full: bool) -> Facts:
    size = len(head)
    for box in boxes(format, head, 0, size):
        if box.end > size:
            break
        if box.kind == b"meta":
            return _facts(format, head, _children(format, head, box))
    raise TruncatedImage(format=format)


def _children(format: str, data: Buffer, meta: Box) -> dict[bytes, list[Box]]:
    """The boxes in the meta box, which is a full box, by type. They are all inside it."""
    found: dict[bytes, list[Box]] = {}
    for box in boxes(format, data, meta.start + 4, meta.end):
        if box.end > meta.end:
            raise CorruptImage(format=format)
        found.setdefault(box.kind, []).append(box)
    return found


def _facts(format: str, data: Buffer, children: dict[bytes, list[Box]]) -> Facts:
    """Size and transformations of the primary item, in the order that libheif applies them.

    The size is that of ispe, cut by clap and turned by irot. Mirroring (imir) changes no size, and the
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
        # All of the meta box is there, so what is missing in it was never written.
        raise CorruptImage(format=format) from None
    width, height = size
    if not width or not height:
        raise CorruptImage(format=format)
    return Facts(format=format, width=width, height=height)


def _clap(format: str, content: bytes, size: tuple[int, int]) -> tuple[int, int]:
    """The size that the clean aperture leaves (ISO/IEC 14496-12, 12.1.4), rounded as libheif rounds."""
    width, width_over, height, height_over = _APERTURE.unpack_from(content)[:4]
    if width_over <= 0 or height_over <= 0:
        raise CorruptImage(format=format)
    cut = (width + width_over // 2) // width_over, (height + height_over // 2) // height_over
    if not (0 < cut[0] <= size[0] and 0 < cut[1] <= size[1]):
        raise CorruptImage(format=format)
    return cut
