"""What an image's header says, and the words that the format modules share.

Every format module has two functions, which are only ever given bytes of its own format:

    probe(file: Reader) -> ImageHeader                    judges the whole file, to its last byte
    peek(head: Reader, *, full: bool) -> ImageHeader      looks at the first bytes only; `full` says that no
                                                          more will be shown

Those of heif.py, which has two formats, are given the format first. All raise CorruptImage, TruncatedImage or
UnsupportedFormat, and TooManyParts where the reader's budget ends. They may also let struct.error and
IndexError escape where they read past the end of the file: `structure` turns these into TruncatedImage.
"""

from dataclasses import dataclass

from conexiones.image_formats import ImageFormat
from conexiones.ports.staging import Content

Buffer = Content


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHeader:
    """An image as its structure describes it, without decoding.

    `width` and `height` are in pixels as a person sees them, with the orientation applied. `frames` counts
    the frames of GIF, WebP and APNG, and the pages of TIFF.
    """

    format: ImageFormat
    width: int
    height: int
    frames: int = 1


def oriented(format: ImageFormat, width: int, height: int, orientation: int, frames: int = 1) -> ImageHeader:
    """The header of width × height stored pixels that are shown with an EXIF or TIFF `orientation`, of which
    5 to 8 swap width and height."""
    if 5 <= orientation <= 8:
        width, height = height, width
    return ImageHeader(format=format, width=width, height=height, frames=frames)
