"""Image files built byte by byte, for `corpus`: what no encoder at hand writes, and deliberate damage."""

import struct
import zlib
from collections.abc import Callable
from itertools import groupby

from PIL import Image


def bmp_header(
    header: int, width: int, height: int, depth: int, compression: int, stored: int, pixels: int
) -> bytes:
    """A BMP file header and a DIB header of 40 bytes or more, of which those beyond 40 are zeros."""
    return struct.pack("<2sIIIIiiHHIIiiII", b"BM", 0, 0, pixels, header, width, height, 1, depth, compression,
                       stored, 2835, 2835, 0, 0).ljust(14 + header, b"\0")  # fmt: skip


def bmps(rgb: Image.Image) -> dict[str, bytes]:
    """BMP files with every depth, header and compression that is accepted."""
    width, height = rgb.size
    made = {}
    palette = bytes(range(256)) * 4
    for depth in (1, 4, 8, 16, 24, 32):
        table = palette[: 4 << depth] if depth <= 8 else b""
        row = (width * depth + 31) // 32 * 4
        body = bytes(i * 7 & 255 for i in range(row * height))
        for name, signed in (("", height), (" top-down", -height)):
            head = bmp_header(40, width, signed, depth, 0, 0, 54 + len(table))
            made[f"{depth} bit{name}"] = head + table + body
        core = struct.pack("<2sIIIIHHHH", b"BM", 0, 0, 26 + len(table) // 4 * 3, 12, width, height, 1, depth)
        if depth in (1, 4, 8, 24):
            made[f"{depth} bit os/2"] = core + palette[: len(table) // 4 * 3] + body
    for header in (52, 56, 64, 108, 124):
        row = (width * 24 + 31) // 32 * 4
        made[f"header {header}"] = bmp_header(header, width, height, 24, 0, 0, 14 + header) + bytes(
            row * height
        )
    masks = struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    row = (width * 16 + 31) // 32 * 4
    made["bitfields"] = bmp_header(40, width, height, 16, 3, 0, 66) + masks + bytes(row * height)
    grey = rgb.convert("L")
    runs = bytearray()
    for y in reversed(range(height)):
        for value, same in groupby(grey.crop((0, y, width, y + 1)).tobytes()):
            runs += bytes((len(list(same)), value))
        runs += b"\0\0"
    runs[-2:] = b"\0\1"
    made["rle8"] = bmp_header(40, width, height, 8, 1, len(runs), 54 + 1024) + palette + runs
    quads = b"".join(bytes((width, 16 * (y % 10) + 3, 0, 0)) for y in range(height - 1)) + bytes(
        (width, 9, 0, 1)
    )
    made["rle4"] = bmp_header(40, width, height, 4, 2, len(quads), 54 + 64) + palette[:64] + quads
    made["1x1"] = bmp_header(40, 1, 1, 24, 0, 0, 54) + b"\1\2\3\0"
    return made


def box(kind: bytes, content: bytes) -> bytes:
    """A box of the ISO base media file format."""
    return struct.pack(">I4s", 8 + len(content), kind) + content


def full(kind: bytes, content: bytes, version: int = 0, flags: int = 0) -> bytes:
    """A full box."""
    return box(kind, struct.pack(">I", version << 24 | flags) + content)


def heif(
    brand: bytes,
    *,
    ispe: tuple[int, int] = (37, 23),
    properties: tuple[bytes, ...] = (),
    wide: bool = False,
    in_idat: bool = False,
    data: bytes = b"coded" * 20,
    open_ended: bool = False,
) -> bytes:
    """A HEIF file of one item. Its boxes are sound, but its bitstream cannot be decoded.

    `wide` takes the 32 bit forms of ids and 64 bit offsets; `in_idat` puts the data into the meta box;
    `open_ended` gives the last box the size 0.
    """
    ftyp = box(b"ftyp", brand + bytes(4) + b"mif1" + brand)
    shelf = [full(b"ispe", struct.pack(">II", *ispe)), *properties]
    version = 1 if wide else 0
    numbers = tuple(range(1, len(shelf) + 1))
    codes = f">I{'I' if wide else 'H'}B{len(shelf)}{'H' if wide else 'B'}"
    ipma = full(b"ipma", struct.pack(codes, 1, 1, len(shelf), *numbers), version, version)
    iprp = box(b"iprp", box(b"ipco", b"".join(shelf)) + ipma)
    pitm = full(b"pitm", struct.pack(">I" if wide else ">H", 1), version)
    infe = full(b"infe", struct.pack(">HH4sB", 1, 0, b"av01" if brand[:3] == b"avi" else b"hvc1", 0), 2)
    iinf = full(b"iinf", struct.pack(">H", 1) + infe)
    handler = full(b"hdlr", bytes(4) + b"pict" + bytes(13))

    def meta(offset: int) -> bytes:
        if wide:
            place = struct.pack(">BBIIHHQHQQ", 0x88, 0x80, 1, 1, int(in_idat), 0, offset, 1, 0, len(data))
            iloc = full(b"iloc", place, 2)
        else:
            place = struct.pack(">BBHHHHHII", 0x44, 0, 1, 1, int(in_idat), 0, 1, offset, len(data))
            iloc = full(b"iloc", place, 1)
        idat = box(b"idat", data) if in_idat else b""
        return full(b"meta", handler + pitm + iloc + iinf + iprp + idat)

    if in_idat:
        return ftyp + meta(0)
    start = len(ftyp) + len(meta(0)) + 8
    mdat = bytearray(box(b"mdat", data))
    if open_ended:
        mdat[:4] = bytes(4)
    return ftyp + meta(start) + mdat


def clap(width: int, height: int) -> bytes:
    """A clean aperture of width × height pixels around the centre."""
    return box(b"clap", struct.pack(">8i", width, 1, height, 1, 0, 1, 0, 1))


def heifs() -> dict[str, bytes]:
    """HEIF files whose boxes give the size in every form that the format has."""
    return {
        "plain": heif(b"heic"),
        "wide": heif(b"heix", wide=True),
        "idat": heif(b"heic", in_idat=True),
        "open ended": heif(b"heic", open_ended=True),
        "irot 90": heif(b"heic", properties=(box(b"irot", b"\1"),)),
        "irot 180": heif(b"heic", properties=(box(b"irot", b"\2"),)),
        "irot 270 wide": heif(b"heic", properties=(box(b"irot", b"\3"),), wide=True),
        "clap": heif(b"heic", properties=(clap(30, 20),)),
        "clap irot": heif(b"heic", properties=(clap(30, 20), box(b"irot", b"\1"))),
        "imir": heif(b"heic", properties=(box(b"imir", b"\1"),)),
        "brand mif1": heif(b"mif1"),
    }


def transformed(avif: bytes, properties: tuple[bytes, ...]) -> bytes:
    """The image of `avif`, of 37 × 23 pixels, without its alpha and with other transformations."""
    configuration = avif.index(b"av1C") - 4
    (length,) = struct.unpack_from(">I", avif, configuration)
    pixels = avif.index(b"mdat") - 4
    return heif(
        b"avif",
        properties=(avif[configuration : configuration + length], *properties),
        data=avif[pixels + 8 : pixels + struct.unpack_from(">I", avif, pixels)[0]],
    )


def rebranded(data: bytes, brand: bytes) -> bytes:
    """The same boxes under another major brand."""
    return data[:8] + brand + data[12:]


def tiff(
    grey: Image.Image,
    order: str,
    *,
    big: bool = False,
    orientation: int = 1,
    claims: tuple[int, int] | None = None,
) -> bytes:
    """An uncompressed grey TIFF in one strip after its directory. `claims` is another size to put there."""
    width, height = claims or grey.size
    pixels = grey.tobytes()
    fields = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 0),
              (274, 3, orientation), (277, 3, 1), (278, 4, height), (279, 4, len(pixels))]  # fmt: skip
    value = 8 if big else 4
    start = (16 if big else 8) + (8 if big else 2) + len(fields) * (20 if big else 12) + value
    mark = b"II" if order == "<" else b"MM"
    out = mark + struct.pack(order + ("HHHQQ" if big else "HIH"), *((43, 8, 0, 16) if big else (42, 8)),
                             len(fields))  # fmt: skip
    for tag, kind, number in fields:
        content = struct.pack(order + ("H" if kind == 3 else "I"), start if tag == 273 else number)
        out += struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, 1) + content.ljust(value, b"\0")
    return out + bytes(value) + pixels


def png_in_pieces(data: bytes, length: int) -> bytes:
    """The same PNG with its one IDAT cut into many of `length` bytes."""
    at = data.index(b"IDAT") - 4
    (size,) = struct.unpack_from(">I", data, at)
    out = data[:at]
    for piece in range(0, size, length):
        body = b"IDAT" + data[at + 8 + piece : at + 8 + min(piece + length, size)]
        out += struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return out + data[at + 12 + size :]


def with_screen(gif: bytes, width: int, height: int) -> bytes:
    """The same GIF with another logical screen."""
    return gif[:6] + struct.pack("<HH", width, height) + gif[10:]


def gif_image(gif: bytes | bytearray) -> int:
    """The position of the first image descriptor of a GIF without comments."""
    at = 13 + (3 << (gif[10] & 7) + 1 if gif[10] & 0x80 else 0)
    while gif[at] != 0x2C:
        at += 2
        while gif[at]:
            at += gif[at] + 1
        at += 1
    return at


def corrupt(
    *, jpeg: bytes, png: bytes, gif: bytes, webp: bytes, chunk: Callable[[bytes, bytes], bytes]
) -> dict[str, bytes]:
    """Files whose structure contradicts itself, by name."""
    frame = jpeg.index(b"\xff\xc0")
    scan = jpeg.index(b"\xff\xda")
    header = struct.pack(">IIBBBBB", 9, 9, 8, 3, 0, 0, 0)
    pixels = png[png.index(b"IDAT") - 4 :]
    image = gif_image(gif)
    return {
        "jpeg width 0": jpeg[: frame + 7] + b"\0\0" + jpeg[frame + 9 :],
        "jpeg two frames": jpeg[:scan] + jpeg[frame : frame + 19] + jpeg[scan:],
        "jpeg without frame": jpeg[:frame] + jpeg[frame + 19 :],
        "jpeg without scan": jpeg[:scan] + b"\xff\xd9",
        "jpeg segment of length 1": jpeg[:2] + b"\xff\xdb\0\1" + jpeg[2:],
        "png ihdr crc": png[:30] + b"\0" + png[31:],
        "png pixel crc": png[:60] + bytes([png[60] ^ 1]) + png[61:],
        "png depth 3": png[:8] + chunk(b"IHDR", png[16:24] + b"\3" + png[25:29]) + png[33:],
        "png width 0": png[:8] + chunk(b"IHDR", bytes(4) + png[20:29]) + png[33:],
        "png without idat": png[:33] + chunk(b"IEND", b""),
        "png without palette": png[:8] + chunk(b"IHDR", header) + pixels,
        "png ihdr late": png[:8] + chunk(b"tEXt", b"a\0b" * 4) + png[8:],
        "gif without image": gif[:image] + b";",
        "gif strange block": gif[:-1] + b"\x99" * 1025 + b";",
        "gif first image 0x0": gif[: image + 5] + bytes(4) + gif[image + 9 :],
        "webp no key frame": webp[:20] + bytes([webp[20] | 1]) + webp[21:],
        "webp chunk past riff": webp[:16] + struct.pack("<I", len(webp)) + webp[20:],
        "tiff no page": b"II*\0" + bytes(4),
        "tiff empty directory": b"II*\0\x08\0\0\0" + bytes(6),
        "tiff width 0": tiff(Image.new("L", (4, 4)), "<", claims=(0, 4)),
        "bmp width 0": bmp_header(40, 0, 4, 24, 0, 0, 54) + bytes(100),
        "bmp height 0": bmp_header(40, 4, 0, 24, 0, 0, 54) + bytes(100),
        "bmp depth 7": bmp_header(40, 4, 4, 7, 0, 0, 54) + bytes(100),
        "bmp depth 0": bmp_header(40, 4, 4, 0, 0, 0, 54) + bytes(100),
        "heif width 0": heif(b"heic", ispe=(0, 9)),
        "heif clap too wide": heif(b"heic", properties=(clap(99, 9),)),
        "heif box of size 4": heif(b"heic").replace(b"mdat", b"free")[:-108]
        + struct.pack(">I4s", 4, b"mdat"),
        "heif without size": heif(b"heic").replace(b"ispe", b"isp_"),
    }
