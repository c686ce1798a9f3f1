"""GIF files byte by byte, with an encoder that can leave out what it should write."""

import struct
from collections.abc import Iterable, Iterator, Sequence

DEPTH = 4
"""Bits of a pixel: there are 16 colours."""

_CLEAR, _END = 1 << DEPTH, (1 << DEPTH) + 1


def codes(pixels: bytes, *, ended: bool = True) -> Iterator[tuple[int, int]]:
    """The LZW codes of pixels (GIF89a, appendix F), and the bits of each; `ended` by the code for the end."""
    width = DEPTH + 1
    table = {bytes((value,)): value for value in range(_CLEAR)}
    yield _CLEAR, width
    known = b""
    for value in pixels:
        longer = known + bytes((value,))
        if longer in table:
            known = longer
            continue
        yield table[known], width
        number = len(table) + 2
        if number < 4096:
            width += number == 1 << width
            table[longer] = number
        else:
            yield _CLEAR, width
            table, width = {bytes((value,)): value for value in range(_CLEAR)}, DEPTH + 1
        known = bytes((value,))
    yield table[known], width
    if ended:
        yield _END, width + (len(table) + 2 == 1 << width and width < 12)


def packed(found: Iterable[tuple[int, int]]) -> bytes:
    """Codes as bytes, from the lowest bit up."""
    number = bits = 0
    for code, width in found:
        number |= code << bits
        bits += width
    return number.to_bytes(-(-bits // 8), "little")


def blocks(data: bytes) -> bytes:
    """Data sub-blocks and their terminator."""
    pieces = (data[at : at + 255] for at in range(0, len(data), 255))
    return b"".join(bytes((len(piece),)) + piece for piece in pieces) + b"\0"


def gif(size: tuple[int, int], frames: Sequence[bytes], *, between: bytes = b"") -> bytes:
    """A GIF of frames, each LZW data of the whole canvas; `between` comes after each block that ends."""
    colours = bytes(
        value for index in range(16) for value in (index * 17, 255 - index * 17, index * 90 % 256)
    )
    head = b"GIF89a" + struct.pack("<HHBBB", *size, 0x80 | DEPTH - 1, 0, 0) + colours + between
    control = b"!\xf9\4\0\5\0\0\0" + between
    image = b"," + struct.pack("<HHHHB", 0, 0, *size, 0) + bytes((DEPTH,))
    return head + b"".join(control + image + blocks(frame) + between for frame in frames) + b";"
