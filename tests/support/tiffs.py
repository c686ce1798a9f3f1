"""TIFF files of any kind of samples, byte by byte."""

import struct
from collections.abc import Sequence

SHORT, LONG, RATIONAL = 3, 4, 5

Entry = tuple[int, int, int, bytes]
"""An entry of a directory: tag, type, count and the bytes of the values."""


def head(order: str, offset: int) -> bytes:
    """What a file begins with whose first directory is at that offset. `order` is as struct has it."""
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", offset)


def directory(order: str, entries: Sequence[Entry], at: int) -> bytes:
    """A directory at that offset without a next one, and after it the values that it has no room for."""
    out, after = struct.pack(order + "H", len(entries)), b""
    end = at + 2 + 12 * len(entries) + 4
    for tag, kind, count, values in entries:
        out += struct.pack(order + "HHI", tag, kind, count)
        if len(values) <= 4:
            out += values.ljust(4, b"\0")
        else:
            out += struct.pack(order + "I", end + len(after))
            after += values
    return out + bytes(4) + after


def short(order: str, tag: int, *values: int) -> Entry:
    return tag, SHORT, len(values), struct.pack(f"{order}{len(values)}H", *values)


def rational(order: str, tag: int, *values: float) -> Entry:
    parts = [part for value in values for part in (round(value * 10_000), 10_000)]
    return tag, RATIONAL, len(values), struct.pack(f"{order}{len(parts)}I", *parts)


def tiff(
    size: tuple[int, int],
    planes: Sequence[bytes],
    *entries: Entry,
    order: str = "<",
    bits: Sequence[int] = (8, 8, 8),
    photometric: int | None = 2,
) -> bytes:
    """A TIFF of these planes, of which there is one unless samples are apart, as one strip each.

    `entries` come besides those that it needs, or instead of them. `bits` are those of every sample.
    """
    offsets = [8 + sum(map(len, planes[:index])) for index in range(len(planes))]
    end = 8 + sum(map(len, planes))
    needed = [
        *(short(order, 256, size[0]), short(order, 257, size[1]), short(order, 258, *bits)),
        *(short(order, 259, 1), short(order, 277, len(bits)), short(order, 278, size[1])),
        (273, LONG, len(planes), struct.pack(f"{order}{len(planes)}I", *offsets)),
        (279, LONG, len(planes), struct.pack(f"{order}{len(planes)}I", *map(len, planes))),
    ]
    if photometric is not None:
        needed.append(short(order, 262, photometric))
    if len(planes) > 1:
        needed.append(short(order, 284, 2))
    given = {entry[0] for entry in entries}
    found = sorted([*(entry for entry in needed if entry[0] not in given), *entries], key=lambda one: one[0])
    return head(order, end) + b"".join(planes) + directory(order, found, end)
