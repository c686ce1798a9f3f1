"""Files of formats that are not accepted are refused by the names of their formats."""

import io
import re
import struct

import pytest
from PIL import Image

from conexiones.domain.formats import peek, probe
from conexiones.domain.formats.signatures import MARKUP_BYTES
from conexiones.errors import NotAnImage, UnsupportedFormat
from tests.support import corpus
from tests.support.corpus_containers import box
from tests.support.paths import ROOT


def by_pillow(format: str, mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (40, 30), None).save(file, format, **options)
    return file.getvalue()


Fields = dict[int, tuple[int, bytes]]
"""Tag → type and value."""

WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4}


def directory(fields: Fields, start: int, order: str = "<") -> bytes:
    """A directory at the position `start`, of one grey pixel and these fields, with their values after it."""
    pixel: Fields = {
        tag: (3, struct.pack(order + "H", 8 if tag == 258 else 1)) for tag in (258, 259, 262, 277)
    }
    pixel |= {tag: (4, struct.pack(order + "I", int(tag != 273))) for tag in (256, 257, 273, 278, 279)}
    pixel |= fields
    values = b""
    entries = struct.pack(order + "H", len(pixel))
    start += 2 + 12 * len(pixel) + 4
    for tag, (kind, value) in sorted(pixel.items()):
        entries += struct.pack(order + "HHI", tag, kind, len(value) // WIDTHS[kind])
        if len(value) > 4:
            entries += struct.pack(order + "I", start + len(values))
            values += value
        else:
            entries += value.ljust(4, b"\0")
    return entries + bytes(4) + values


def tiff(fields: Fields, order: str = "<", below: Fields | None = None) -> bytes:
    """A TIFF of one pixel with these fields. `below` are those of a directory below it."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    if below is None:
        return head + directory(fields, 8, order)
    length = len(directory(fields | {330: (4, bytes(4))}, 8, order))
    fields = fields | {330: (4, struct.pack(order + "I", 8 + length))}
    return head + directory(fields, 8, order) + directory(below, 8 + length, order)


def samples(photometric: int, order: str = "<") -> Fields:
    return {262: (3, struct.pack(order + "H", photometric))}


def camera(make: bytes, order: str = "<") -> bytes:
    """A file with a thumbnail, and the samples of a sensor below it."""
    return tiff({271: (2, make)}, order, samples(32803, order))


def ftyp(major: bytes, *compatible: bytes) -> bytes:
    return box(b"ftyp", major + bytes(4) + b"".join(compatible)) + box(b"moov", bytes(40))


FILES = {
    "PDF": (b"%PDF-2.0\n",),
    "EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\xc5\xd0\xd3\xc6" + bytes(28), by_pillow("EPS")),
    "PostScript": (b"%!PS-Adobe-3.0\n", b"%!PS\n"),
    "PSD": (b"8BPS\0\1" + bytes(20), b"8BPS\0\2" + bytes(20)),
    "ICO": (by_pillow("ICO", "RGBA"),),
    "CUR": (b"\0\0\2\0\1\0\x20\x20\0\0\1\0\1\0" + bytes(99),),
    "ANI": (b"RIFF\x24\0\0\0ACONanih" + bytes(36),),
    "ICNS": (by_pillow("ICNS", "RGBA"),),
    "JPEG XL": (b"\xff\x0a\xfa\x1f", b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(60)),
    "JPEG 2000": (by_pillow("JPEG2000"), by_pillow("JPEG2000", no_jp2=True)),
    "JPEG XR": (b"II\xbc\1\x20\0\0\0" + bytes(60),),
    "JPEG-LS": (b"\xff\xd8\xff\xf7\0\x0b\x08\0\x10\0\x10\x01\x01\x11\0\xff\xd9",),
    "BPG": (b"BPG\xfb\x20\0" + bytes(60),),
    "FLIF": (b"FLIF31\0\x0f" + bytes(60),),
    "OpenEXR": (b"\x76\x2f\x31\1\2\0\0\0channels\0",),
    "Radiance HDR": (b"#?RADIANCE\n", b"#?RGBE\n"),
    "PNM": (by_pillow("PPM"), by_pillow("PPM", "L"), by_pillow("PPM", "1"),
            b"P3\n# a comment\n1 1 255\n9 9 9\n"),
    "DDS": (by_pillow("DDS"),),
    "KTX": (b"\xabKTX 11\xbb\r\n\x1a\n" + bytes(60), b"\xabKTX 20\xbb\r\n\x1a\n" + bytes(60)),
    "QOI": (by_pillow("QOI"),),
    "MNG": (b"\x8aMNG\r\n\x1a\n" + bytes(60), b"\x8bJNG\r\n\x1a\n" + bytes(60)),
    "XCF": (b"gimp xcf v011\0" + bytes(60),),
    "WMF": (b"\xd7\xcd\xc6\x9a\0\0" + bytes(60), b"\1\0\x09\0\0\3" + bytes(60)),
    "EMF": (b"\1\0\0\0" + bytes(36) + b" EMF" + bytes(60),),
    "PCX": (by_pillow("PCX"), by_pillow("PCX", "L"), by_pillow("PCX", "1")),
    "SGI": (by_pillow("SGI"), by_pillow("SGI", "L")),
    "Sun Raster": (b"\x59\xa6\x6a\x95" + bytes(60),),
    "DjVu": (b"AT&TFORM\0\0\1\0DJVUINFO" + bytes(60),),
    "DICOM": (bytes(128) + b"DICM" + bytes(60),),
    "FITS": (b"SIMPLE  =                    T / standard",),
    "XPM": (b"/* XPM */\nstatic char *x[] = {",),
    "XBM": (by_pillow("XBM", "1"), b"/* made by hand */\n#define a_width 8\n#define a_height 8\n"),
    "TGA": (by_pillow("TGA"), by_pillow("TGA", "RGBA", compression="tga_rle"), by_pillow("TGA", "L"),
            b"\0\1\1\0\0\0\1\x18" + bytes(4) + b"\x28\0\x1e\0\x08\0" + bytes(900),
            by_pillow("TGA", id_section=b"an id")),
    "SVG": (b"<svg/>", b"<?xml version='1.0'?>\n<!-- a comment -->\n<SVG >"),
    "AVI": (b"RIFF\x24\0\0\0AVI LIST" + bytes(60),),
    "MP4": (ftyp(b"isom", b"mp42"), ftyp(b"qt  "), ftyp(b"3gp5"), ftyp(b"M4V "), box(b"moov", bytes(60))),
    "HEIF mini": (box(b"ftyp", b"mif3heic") + box(b"mini", bytes(60)), box(b"ftyp", b"mif3avif") + bytes(60)),
    "WebM": (b"\x1aE\xdf\xa3\x9fB\x86\x81\1B\xf7\x81\1B\xf2\x81\4B\xf3\x81\x08B\x82\x84webm" + bytes(60),),
    "Matroska": (b"\x1aE\xdf\xa3\xa3B\x86\x81\1B\x82\x88matroska" + bytes(60),),
    "MPEG": (b"\0\0\1\xba\x44" + bytes(60), b"\0\0\1\xb3\x14" + bytes(60)),
    "DNG": (tiff({50706: (1, b"\1\4\0\0")}), tiff({50706: (1, b"\1\4\0\0")}, ">")),
    "Nikon NEF": (camera(b"NIKON CORPORATION\0"), camera(b"NIKON\0", ">")),
    "Sony ARW": (camera(b"SONY\0"),),
    "Pentax PEF": (camera(b"PENTAX Corporation\0"), camera(b"RICOH IMAGING COMPANY, LTD.  \0")),
    "Samsung SRW": (camera(b"SAMSUNG\0"),),
    "Kodak DCR": (camera(b"EASTMAN KODAK COMPANY\0"),),
    "RAW": (camera(b"Some other maker\0"), tiff(samples(32803)), tiff(samples(34892))),
    "Canon CR2": (b"II*\0\x10\0\0\0CR\2\0" + bytes(60),),
    "Canon CR3": (ftyp(b"crx ", b"crx ", b"isom"),),
    "Canon CRW": (b"II\x1a\0\0\0HEAPCCDR\2\0\1\0" + bytes(60),),
    "Fujifilm RAF": (b"FUJIFILMCCD-RAW 0201FF383501" + bytes(60),),
    "Minolta MRW": (b"\0MRM" + bytes(60),),
    "Olympus ORF": (b"IIRO\x08\0\0\0" + bytes(60), b"IIRS\x08\0\0\0" + bytes(60)),
    "Panasonic RW2": (b"IIU\0\x18\0\0\0" + bytes(60),),
    "Phase One IIQ": (b"II*\0\x00\1\0\0IIIITwaR" + bytes(60), b"MM\0*\0\0\1\0MMMMRawT" + bytes(60)),
    "Sigma X3F": (b"FOVb\1\0\2\0" + bytes(60),),
}  # fmt: skip

CASES = [(name, data) for name, files in FILES.items() for data in files]


@pytest.mark.parametrize(("name", "data"), CASES, ids=[f"{name}-{at}" for at, (name, _) in enumerate(CASES)])
def test_a_file_is_refused_by_the_name_of_its_format(name: str, data: bytes) -> None:
    with pytest.raises(UnsupportedFormat) as refused:
        probe(data)
    assert refused.value.facts == {"format": name}
    assert f"{name} is not accepted" in refused.value.message
    assert f"No se acepta {name}" in refused.value.mensaje
    assert early(data) in (name, None)


def early(data: bytes) -> str | None:
    """The name by which a head is refused. What is below a thumbnail shows only in a whole file."""
    try:
        peek(data + bytes(MARKUP_BYTES))
    except UnsupportedFormat as error:
        return str(error.facts["format"])
    return None


def test_every_format_is_in_the_documentation() -> None:
    _, _, text = (ROOT / "docs" / "images.md").read_text().partition("## Formats that are refused")
    words = set(re.split(r"[\s,;|()]+", text))
    assert not {name for name in FILES if name.split()[-1] not in words}


def test_the_pixels_of_a_camera_are_found_below_any_directory() -> None:
    with pytest.raises(UnsupportedFormat, match="Nikon"):
        probe(camera(b"NIKON\0"))
    assert probe(tiff({}, below={})).format == "TIFF"
    assert probe(tiff({271: (2, b"NIKON\0")}, below={})).format == "TIFF", "a maker alone says nothing"


@pytest.mark.parametrize("pixels", [b"IIIIIIII", b"MMMMMMMM", b"CR\2CR\2CR"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_pixels_that_follow_the_header_may_be_any(pixels: bytes, order: str) -> None:
    """As libtiff writes them: 73 and 77 are common greys."""
    fields: Fields = {273: (4, struct.pack(order + "I", 8)), 279: (4, struct.pack(order + "I", len(pixels)))}
    fields[256] = (4, struct.pack(order + "I", len(pixels)))
    start = 8 + len(pixels) + len(pixels) % 2 + 8
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, start)
    data = (head + pixels).ljust(start, b"\0") + directory(fields, start, order)
    assert (probe(data).format, probe(data).width) == ("TIFF", len(pixels))


def test_no_accepted_image_is_taken_for_another_format() -> None:
    for name, data in corpus.images().items():
        assert probe(data).format == name.split()[0]


@pytest.mark.parametrize(
    "data",
    [
        bytes(4096),
        b"\0\0\2\0" + bytes(60),  # TGA without a size
        b"\0\0\2\0\0\0\0\0\0\0\0\0\1\0\1\0\7\0" + bytes(60),  # and of a depth that there is not
        b"#define WIDTH 9\n",
        b"A text about PDF, %PDF- and <svg>.",
        b"RIFF\x24\0\0\0WAVEfmt " + bytes(60),
        b"PK\3\4" + bytes(60),
        b"\x7fELF\2\1\1" + bytes(60),
    ],
)
def test_what_is_no_image_is_not_called_one(data: bytes) -> None:
    with pytest.raises(NotAnImage):
        probe(data)
