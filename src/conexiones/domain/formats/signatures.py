"""The format of a file from its first bytes, never from its name."""

from typing import Final, NoReturn

from conexiones.domain.formats.refused_formats import is_raw_tiff, refused_format
from conexiones.errors import NotAnImage, UnsupportedFormat
from conexiones.image_formats import ImageFormat

HEAD_BYTES: Final = 64
"""The first bytes that always show an accepted format."""

MARKUP_BYTES: Final = 1024
"""The first bytes in which other formats are looked for, such as an SVG, whose root element may follow
comments."""

# The sizes of DIB headers: OS/2 1.x, OS/2 2.x short and long, Windows 3, its two Adobe variants, 4, 5.
_DIB_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})

# ISO/IEC 14496-12 brands. The structural ones of ISO/IEC 23008-12 (mif1 …) say nothing about the codec.
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"}  # HEVC
    | {b"mif1", b"mif2", b"msf1", b"miaf", b"avci", b"jpeg", b"vvic"}
)
_CODEC_BRANDS = _HEIF_BRANDS - {b"mif1", b"mif2", b"msf1", b"miaf"}

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def sniff(head: bytes) -> ImageFormat:
    """The format of the image that begins with `head`, which HEAD_BYTES always show.

    Raises UnsupportedFormat for a known format of images, documents or movies that is not accepted, and
    NotAnImage for anything else, also for a head that is too short to tell.
    """
    if head[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    if head[:6] in (b"GIF89a", b"GIF87a"):
        return "GIF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:4] in _TIFF and not is_raw_tiff(head):
        return "TIFF"
    if head[:2] == b"BM" and len(head) >= 18 and int.from_bytes(head[14:18], "little") in _DIB_SIZES:
        return "BMP"
    return _sniff_brand(head) or _refuse(head)


def _sniff_brand(head: bytes) -> ImageFormat | None:
    """AVIF or HEIF where a file type box says so, otherwise None."""
    if head[4:8] != b"ftyp":
        return None
    major = head[8:12]
    end = min(len(head), int.from_bytes(head[:4], "big"), HEAD_BYTES)
    compatible = {head[at : at + 4] for at in range(16, end - 3, 4)}
    if major in _AVIF_BRANDS:
        return "AVIF"
    if major in _CODEC_BRANDS:
        return "HEIF"
    if compatible & _AVIF_BRANDS:
        return "AVIF"
    if major in _HEIF_BRANDS or compatible & _HEIF_BRANDS:
        return "HEIF"
    return None


def _refuse(head: bytes) -> NoReturn:
    """Raises UnsupportedFormat where the format is known, otherwise NotAnImage."""
    markup = bytes(head[:MARKUP_BYTES])
    if markup[:2] in (b"\xff\xfe", b"\xfe\xff"):
        # In UTF-16, dropping the zero bytes leaves the ASCII characters, and the pattern looks at no others.
        markup = markup[2:].replace(b"\0", b"")
    if name := refused_format(markup):
        raise UnsupportedFormat(format=name)
    raise NotAnImage
