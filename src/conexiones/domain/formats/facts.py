"""What is known of an image without decoding it, and the words the format modules share.

Every format module has two functions, which never see another format's bytes:

    probe(data: Buffer) -> Facts            the whole file, judged to its last byte
    describe(head: Buffer, *, full: bool) -> Facts
                                            the first bytes only; `full` says that no more will be shown

Both raise `CorruptImage`, `TruncatedImage` or `UnsupportedFormat`. They may also let `struct.error` and
`IndexError` escape where they read past the end of the buffer: `structure` takes these for a truncation.
"""

from dataclasses import dataclass
from typing import Final, Protocol, overload

MAX_PARTS: Final = 1_000_000
"""Segments, blocks, chunks or boxes of one file. It bounds the time spent on a hostile one: honest files
have thousands at most. PNG alone, with its many small IDATs, has its own limit."""


class Buffer(Protocol):
    """What `bytes` and `mmap` have in common: slices are copies, so no view keeps a map from closing."""

    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, key: int, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """An image as its structure describes it.

    `format` is JPEG, PNG, GIF, WEBP, TIFF, BMP, AVIF or HEIF. `width` and `height` are pixels as a person
    sees them, orientation applied. `frames` counts frames of GIF, WebP and APNG, and pages of TIFF.
    """

    format: str
    width: int
    height: int
    frames: int = 1


def oriented(format: str, width: int, height: int, orientation: int, frames: int = 1) -> Facts:
    """Facts of width × height stored pixels shown with an EXIF or TIFF `orientation` (5 to 8 swap them)."""
    if 5 <= orientation <= 8:
        width, height = height, width
    return Facts(format=format, width=width, height=height, frames=frames)
