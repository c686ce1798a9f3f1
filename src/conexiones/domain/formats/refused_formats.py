"""Formats of images, documents and movies that are recognised in order to be refused by their names.

Most signatures are those of the formats' own specifications; file(1) and the Library of Congress
(https://www.loc.gov/preservation/digital/formats/) list them. None of these formats can be taken for another
one by its first bytes but TGA, which has no signature: its header has to be plausible in every field.
"""

import re
from typing import Final

_MOVIE = "MP4"

_TEXT: Final = frozenset({"SVG", "XPM", "XBM"})
"""Formats that are text, in which the case of letters does not matter here."""

_RAW_TIFF: Final = (
    ("Canon CR2", rb"II\*\0\x10\0\0\0CR\x02"),
    ("Phase One IIQ", rb"II\*\0....IIII.waR|MM\0\*....MMMMRaw"),
)
"""Files that are TIFF but for their pixels, by what follows the header. The pixels of any other TIFF may
begin there, and four of one grey are such a word: so the place of the directory, or a second word, counts,
too, as in dcraw."""

_SIGNATURES: Final = (
    ("PDF", rb"(?:\xef\xbb\xbf)?\s*+%PDF-"),
    ("EPS", rb"%!PS-Adobe-\d\.\d EPSF|\xc5\xd0\xd3\xc6"),
    ("PostScript", rb"%!PS"),
    ("PSD", rb"8BP[SB]\0[\x01\x02]"),
    ("ICO", rb"\0\0\x01\0[^\0]\0...\0"),
    ("CUR", rb"\0\0\x02\0[^\0]\0...\0"),
    ("ANI", rb"RIFF....ACON"),
    ("ICNS", rb"icns\0"),
    ("JPEG XL", rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n"),
    ("JPEG 2000", rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n"),
    ("JPEG XR", rb"II\xbc[\0\x01]"),
    ("BPG", rb"BPG\xfb"),
    ("FLIF", rb"FLIF[13-6A-F]"),
    ("OpenEXR", rb"\x76\x2f\x31\x01"),
    ("Radiance HDR", rb"#\?(?:RADIANCE|RGBE)"),
    ("PNM", rb"P[1-6]\s++[#\d]|P7\s|P[Ff]4?\s++-?\d"),
    ("DDS", rb"DDS \x7c\0\0\0"),
    ("KTX", rb"\xabKTX [12][01]\xbb\r\n\x1a\n"),
    ("QOI", rb"qoif"),
    ("MNG", rb"\x8a[MJ]NG\r\n\x1a\n|\x8bJNG\r\n\x1a\n"),
    ("XCF", rb"gimp xcf "),
    ("WMF", rb"\xd7\xcd\xc6\x9a\0\0|[\x01\x02]\0\x09\0\0[\x01\x03]"),
    ("EMF", rb"\x01\0\0\0.{36} EMF"),
    ("PCX", rb"\x0a[\0\x02-\x05]\x01[\x01\x02\x04\x08]"),
    ("SGI", rb"\x01\xda[\0\x01][\x01\x02]\0[\x01-\x03]"),
    ("Sun Raster", rb"\x59\xa6\x6a\x95"),
    ("DjVu", rb"AT&TFORM....DJV"),
    ("DICOM", rb".{128}DICM"),
    ("FITS", rb"SIMPLE  = {20}"),
    ("XPM", rb"\s*+/\* XPM \*/"),
    ("XBM", rb"(?:/\*.*?\*/\s*+)?#define\s++\w++(?<=_width)\s++\d"),
    # Cameras. Those whose files are TIFF in all else are told apart by `raw`.
    *_RAW_TIFF,
    ("Canon CR3", rb"....ftypcrx "),
    ("Canon CRW", rb"II\x1a\0\0\0HEAPCCDR"),
    ("Fujifilm RAF", rb"FUJIFILMCCD-RAW"),
    ("Minolta MRW", rb"\0MRM"),
    ("Olympus ORF", rb"IIR[OS]\x08\0\0\0|MMOR\0\0\0\x08"),
    ("Panasonic RW2", rb"IIU\0"),
    ("Sigma X3F", rb"FOVb"),
    # The boxes of HEIF and AVIF, packed into one (ISO/IEC 23008-12, third edition, Amendment 1).
    ("HEIF mini", rb"....ftypmif3"),
    # Movies. QuickTime files from before ftyp existed begin with one of these atoms.
    ("AVI", rb"RIFF....AVI "),
    (_MOVIE, rb"....ftyp|\0\0..(?:moov|mdat|wide|free|skip|pnot)"),
    ("WebM", rb"\x1aE\xdf\xa3.{1,60}?webm"),
    ("Matroska", rb"\x1aE\xdf\xa3"),
    ("MPEG", rb"\0\0\x01[\xba\xb3]"),
    # A type of image, no palette or one with colours, a size, a depth, and no flags that are not in use.
    (
        "TGA",
        rb"[\0-\xff](?:\0[\x02\x03\x0a\x0b]\0{5}|\x01[\x01\x09]..(?!\0\0)..[\x0f\x10\x18\x20])"
        rb"....(?!\0\0)..(?!\0\0)..[\x08\x0f\x10\x18\x20][\0-\x3f]",
    ),
    # A root element named svg after anything that XML allows before it, or a DOCTYPE that announces it.
    (
        "SVG",
        rb"(?:\xef\xbb\xbf)?(?:\s++|<\?.*?\?>|<!--.*?-->|<!DOCTYPE\s+(?!svg|html)[^>]*+>)*+"
        rb"<(?:!DOCTYPE\s+)?(?:[a-z_][\w.-]*+:)?svg[\s>/:]",
    ),
)

_PATTERNS: Final = tuple(
    (name, re.compile(pattern, re.DOTALL | re.IGNORECASE if name in _TEXT else re.DOTALL))
    for name, pattern in _SIGNATURES
)


_RAW_TIFF_PATTERN: Final = re.compile(b"|".join(pattern for _, pattern in _RAW_TIFF), re.DOTALL)


def is_raw_tiff(head: bytes) -> bool:
    """Whether a file that begins like a TIFF is the raw image of a camera."""
    return _RAW_TIFF_PATTERN.match(head) is not None


def refused_format(head: bytes) -> str | None:
    """The name of the format of a file that begins with `head`, in English and Spanish; None if it is none of
    those here."""
    return next((name for name, pattern in _PATTERNS if pattern.match(head)), None)
