"""The items of a HEIF file: where their bytes are (iloc) and what is said of them (iprp)."""

import struct

from conexiones.domain.formats.boxes import Box, boxes, fullbox, only, table
from conexiones.domain.formats.header import Buffer
from conexiones.errors import CorruptImage, TruncatedImage
from conexiones.image_formats import ImageFormat

_OF_SIZE = frozenset({b"ispe", b"clap", b"irot"})
_MAX_PROPERTIES = 0x7FFF  # ipma counts them in 15 bits.
_IN_FILE, _IN_IDAT = 0, 1


def properties_of(
    format: ImageFormat, data: Buffer, children: dict[bytes, list[Box]], item: int
) -> list[tuple[bytes, bytes]]:
    """Type and content of those properties of `item` that determine its size, in their order.

    See ISO/IEC 23008-12, 9.3. May raise struct.error or IndexError for a table that ends too early.
    """
    iprp = only(format, children, b"iprp")
    shelf: list[Box] = []
    associations: list[Box] = []
    for box in boxes(format, data, iprp.start, iprp.end):
        if box.end > iprp.end:
            raise CorruptImage(format=format)
        if box.kind == b"ipma":
            associations.append(box)
        elif box.kind == b"ipco":
            shelf = list(boxes(format, data, box.start, box.end))
    if len(shelf) > _MAX_PROPERTIES or any(box.end > iprp.end for box in shelf):
        raise CorruptImage(format=format)
    found: list[tuple[bytes, bytes]] = []
    for box in associations:
        for index in _associated(*fullbox(format, data, box), item):
            if not 0 < index <= len(shelf):
                raise CorruptImage(format=format)
            kind = shelf[index - 1].kind
            if kind in _OF_SIZE:
                found.append((kind, table(format, data, shelf[index - 1])))
    return found


def _associated(version: int, content: bytes, item: int) -> list[int]:
    """The numbers, from 1, of the properties that an ipma box gives to `item`, without 0 for none."""
    entry = struct.Struct(">HB" if version == 0 else ">IB")
    wide = content[3] & 1
    (count,) = struct.unpack_from(">I", content, 4)
    position = 8
    for _ in range(count):  # struct.error ends it with the content at the latest.
        number, length = entry.unpack_from(content, position)
        position += entry.size
        if number == item:
            found = struct.unpack_from(f">{length}{'H' if wide else 'B'}", content, position)
            return [index for each in found if (index := each & (0x7FFF if wide else 0x7F))]
        position += length << wide
    return []


def check_extents(format: ImageFormat, data: Buffer, children: dict[bytes, list[Box]]) -> None:
    """Checks that the bytes of every item are there (ISO/IEC 14496-12, 8.11.3).

    Raises TruncatedImage where they would reach past the end of the file, and CorruptImage where they would
    reach past the end of the idat box or where the table contradicts itself.
    """
    idat = children.get(b"idat")
    ends = {_IN_FILE: len(data), _IN_IDAT: idat[0].end - idat[0].start if idat else -1}
    try:
        for method, end in _item_ends(*fullbox(format, data, only(format, children, b"iloc"))):
            if end > ends.get(method, end):
                raise TruncatedImage(format=format) if method == _IN_FILE else CorruptImage(format=format)
    except (struct.error, IndexError, KeyError):
        raise CorruptImage(format=format) from None


def _item_ends(version: int, content: bytes) -> list[tuple[int, int]]:
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
    found = []
    for _ in range(count):  # struct.error ends it with the content at the latest.
        fields = item.unpack_from(content, position)
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
            found.append((method, end))
        position = stop
    return found
