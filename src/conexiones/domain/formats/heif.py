"""AVIF and HEIF: ISO/IEC 23008-12 and AV1 Image File Format, in the boxes of ISO/IEC 14496-12.

The primary item has the size of the image; iprp says what is known of an item, and iloc where its bytes are.
Sequences have a track of pictures besides, or instead.
"""

import struct
from collections.abc import Iterator
from itertools import islice

from conexiones.domain.formats.boxes import Box, boxes, fullbox, only
from conexiones.domain.formats.header import ImageHeader
from conexiones.domain.formats.reader import Reader
from conexiones.domain.formats.track import SEQUENCES, first_track
from conexiones.errors import CorruptImage, TruncatedImage
from conexiones.image_formats import ImageFormat

_SIZE_OF_BOX = struct.Struct(">I")
_SIZE = struct.Struct(">4xII")
_APERTURE = struct.Struct(">8i")

_OF_USE = frozenset({b"pitm", b"iprp", b"iloc", b"idat"})
_OF_SIZE = frozenset({b"ispe", b"clap", b"irot"})
_MAX_PROPERTIES = 0x7FFF  # ipma counts them in 15 bits.
_MAX_ASSOCIATIONS = 4  # one ipma box for each version and each width of its indices (ISO/IEC 23008-12, 9.3.1)
_MAX_PROPERTY_BYTES = 64  # Of those that determine the size, the longest is clap with 32.
_IN_FILE, _IN_IDAT = 0, 1
_STILL, _SEQUENCE = b"avif", b"avis"
_MAX_BRAND_BYTES = 256
_WITH_PIXELS = frozenset({b"ftyp", b"meta", b"moov", b"mdat", b"imda"})
"""The boxes of a file of which pixels depend."""


def probe(format: ImageFormat, file: Reader) -> ImageHeader:
    """The header of a whole file, in which every box, and the bytes of every item, end inside it."""
    size = file.size
    found: dict[bytes, Box] = {}
    for box in boxes(format, file, 0, size):
        if not box.kind.isascii() or not box.kind.decode("ascii").isprintable():
            break  # Phones append data of their own after the last box.
        if box.end > size:
            if b"meta" in found and box.kind not in _WITH_PIXELS:
                break  # So it is with what is text.
            raise TruncatedImage(format=format)
        found.setdefault(box.kind, box)
    meta = found.get(b"meta")
    children = _children(format, file, meta) if meta else None
    if children:
        _check_extents(format, file, children)
    return _header(format, file, children, found.get(b"moov"))


def peek(format: ImageFormat, head: Reader, *, full: bool) -> ImageHeader:
    """What the meta box says, once all of it is there, and in a sequence all of the moov box."""
    size = head.size
    found: dict[bytes, Box] = {}
    needed = {b"meta", b"moov"} if _may_be_sequence(format, head) else {b"meta"}
    for box in boxes(format, head, 0, size, more=True):
        if box.end > size:
            break
        found.setdefault(box.kind, box)
        if needed <= found.keys():
            return _header(format, head, _children(format, head, found[b"meta"]), found.get(b"moov"))
    raise TruncatedImage(format=format)


def _may_be_sequence(format: ImageFormat, file: Reader) -> bool:
    """Whether readers look for a track. In AVIF they do if a brand says that there is one, unless the major
    brand is that of a still, as libavif has it."""
    brand = file.bytes(8, 12)
    if format == "HEIF":
        return brand in SEQUENCES
    end = min(_SIZE_OF_BOX.unpack(file.bytes(0, 4))[0], _MAX_BRAND_BYTES)
    return brand != _STILL and _SEQUENCE in file.bytes(8, end)


def _header(
    format: ImageFormat, file: Reader, children: dict[bytes, list[Box]] | None, moov: Box | None
) -> ImageHeader:
    """The header of the image in a meta box with those `children`, or of the sequence in a moov box.

    Of an AVIF sequence readers show the track. Of a HEIF sequence they show the primary item, if there is
    one; `frames` are those of the track all the same.
    """
    track = first_track(format, file, moov) if moov and _may_be_sequence(format, file) else None
    if track and (not children or (format == "AVIF" and track.frames > 1)):
        return ImageHeader(format=format, width=track.width, height=track.height, frames=track.frames)
    if not children:
        raise TruncatedImage(format=format)
    width, height = _primary_size(format, file, children)
    return ImageHeader(format=format, width=width, height=height, frames=track.frames if track else 1)


def _children(format: ImageFormat, file: Reader, meta: Box) -> dict[bytes, list[Box]]:
    """The boxes in the meta box that are of use here, by type, the first two of each. Raises CorruptImage
    where one reaches past its end."""
    found: dict[bytes, list[Box]] = {}
    for box in boxes(format, file, meta.start + 4, meta.end):
        if box.end > meta.end:
            raise CorruptImage(format=format)
        if box.kind in _OF_USE and len(same := found.setdefault(box.kind, [])) < 2:
            same.append(box)
    return found


def _primary_size(format: ImageFormat, file: Reader, children: dict[bytes, list[Box]]) -> tuple[int, int]:
    """The size of the primary item, its transformations applied in the order in which libheif applies them.

    It is that of ispe, cut by clap and turned by irot. Mirroring (imir) changes no size, and the
    orientation in an Exif item has no say (ISO/IEC 23008-12, 6.5.10).
    """
    try:
        version, content = fullbox(format, file, only(format, children, b"pitm"))
        (primary,) = struct.unpack_from(">H" if version == 0 else ">I", content, 4)
        transformations = _properties_of(format, file, children, primary)
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
    return width, height


def _clap(format: ImageFormat, content: bytes, size: tuple[int, int]) -> tuple[int, int]:
    """The size that the clean aperture leaves (ISO/IEC 14496-12, 12.1.4), rounded as libheif rounds it."""
    width, width_over, height, height_over = _APERTURE.unpack_from(content)[:4]
    if width_over <= 0 or height_over <= 0:
        raise CorruptImage(format=format)
    cut = (width + width_over // 2) // width_over, (height + height_over // 2) // height_over
    if not (0 < cut[0] <= size[0] and 0 < cut[1] <= size[1]):
        raise CorruptImage(format=format)
    return cut


def _properties_of(
    format: ImageFormat, file: Reader, children: dict[bytes, list[Box]], item: int
) -> list[tuple[bytes, bytes]]:
    """Type and content of those properties of `item` that determine its size, in their order.

    See ISO/IEC 23008-12, 9.3. May raise struct.error or IndexError for a table that ends too early.
    """
    shelf, associations = _shelf(format, file, only(format, children, b"iprp"))
    found: list[tuple[bytes, bytes]] = []
    for box in associations:
        for index in _associated(file, *fullbox(format, file, box), item):
            if not 0 < index <= len(shelf):
                raise CorruptImage(format=format)
            kind = shelf[index - 1].kind
            if kind in _OF_SIZE:
                start, end = shelf[index - 1][1:]
                found.append((kind, file.bytes(start, min(end, start + _MAX_PROPERTY_BYTES))))
    return found


def _shelf(format: ImageFormat, file: Reader, iprp: Box) -> tuple[list[Box], list[Box]]:
    """The properties in an iprp box, and the boxes that give them to items. Raises CorruptImage."""
    shelf: list[Box] = []
    associations: list[Box] = []
    for box in boxes(format, file, iprp.start, iprp.end):
        if box.end > iprp.end:
            raise CorruptImage(format=format)
        if box.kind == b"ipma":
            if len(associations) == _MAX_ASSOCIATIONS:
                raise CorruptImage(format=format)
            associations.append(box)
        elif box.kind == b"ipco":
            shelf = list(islice(boxes(format, file, box.start, box.end), _MAX_PROPERTIES + 1))
    if len(shelf) > _MAX_PROPERTIES or any(box.end > iprp.end for box in shelf):
        raise CorruptImage(format=format)
    return shelf, associations


def _associated(file: Reader, version: int, content: bytes, item: int) -> list[int]:
    """The numbers, from 1, of the properties that an ipma box gives to `item`, without 0 for none."""
    entry = struct.Struct(">HB" if version == 0 else ">IB")
    wide = content[3] & 1
    (count,) = struct.unpack_from(">I", content, 4)
    file.spend(min(count, len(content) // entry.size) // 2)
    position = 8
    for _ in range(count):  # struct.error ends it with the content at the latest.
        number, length = entry.unpack_from(content, position)
        position += entry.size
        if number == item:
            found = struct.unpack_from(f">{length}{'H' if wide else 'B'}", content, position)
            return [index for each in found if (index := each & (0x7FFF if wide else 0x7F))]
        position += length << wide
    return []


def _check_extents(format: ImageFormat, file: Reader, children: dict[bytes, list[Box]]) -> None:
    """Checks that the bytes of every item are there (ISO/IEC 14496-12, 8.11.3).

    Raises TruncatedImage where they would reach past the end of the file, and CorruptImage where they would
    reach past the end of the idat box or where the table contradicts itself.
    """
    idat = children.get(b"idat")
    ends = {_IN_FILE: file.size, _IN_IDAT: idat[0].end - idat[0].start if idat else -1}
    try:
        for method, end in _item_ends(file, *fullbox(format, file, only(format, children, b"iloc"))):
            if end > ends.get(method, end):
                raise TruncatedImage(format=format) if method == _IN_FILE else CorruptImage(format=format)
    except (struct.error, IndexError, KeyError):
        raise CorruptImage(format=format) from None


def _item_ends(file: Reader, version: int, content: bytes) -> Iterator[tuple[int, int]]:
    """The construction method of every item in an iloc box, and where its furthest extent ends.

    Items in other files are left out. An extent without a length reaches to the end of the file.
    """
    codes = {0: "", 4: "I", 8: "Q"}
    offset_code, length_code = codes[content[4] >> 4], codes[content[4] & 15]
    base_code, index_code = codes[content[5] >> 4], codes[content[5] & 15] if version else ""
    number_code = "I" if version == 2 else "H"
    # Number, construction method, data reference (0 is this file), base offset, and number of extents.
    item = struct.Struct(f">{number_code}{'H' if version else ''}H{base_code}H")
    extent = struct.Struct(f">{index_code}{offset_code}{length_code}")
    (count,) = struct.unpack_from(f">{number_code}", content, 6)
    position = 6 + struct.calcsize(f">{number_code}")
    for _ in range(count):  # struct.error ends it with the content at the latest.
        fields = item.unpack_from(content, position)
        file.spend(1 + fields[-1] // 2)
        position += item.size
        stop = position + fields[-1] * extent.size
        if stop > len(content):
            raise struct.error
        base = fields[-2] if base_code else 0
        method, reference = (fields[1] & 15, fields[2]) if version else (_IN_FILE, fields[1])
        end = base
        if extent.size:
            for values in extent.iter_unpack(content[position:stop]):
                length = values[-1] if length_code else 0
                start = values[1 if index_code else 0] if offset_code else 0
                end = max(end, base + start + length)
        if reference == 0:
            yield method, end
        position = stop
