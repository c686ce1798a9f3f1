"""Images of any size, made without an encoder."""

import struct
from collections.abc import Iterator


def bitmap(width: int, height: int, *, seed: int = 0, piece: int = 1 << 20) -> Iterator[bytes]:
    """A BMP of width × height pixels, 24 bits each, in pieces; about width × height × 3 bytes."""
    row = (width * 3 + 3) // 4 * 4
    size = row * height
    yield struct.pack("<2sIHHI", b"BM", 54 + size if 54 + size < 2**32 else 0, 0, 0, 54) + struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, 24, 0, size if size < 2**32 else 0, 2835, 2835, 0, 0
    )
    block = bytes((seed + number * 7) % 256 for number in range(256)) * (piece // 256)
    while size:
        yield block[: min(size, len(block))]
        size -= min(size, len(block))
