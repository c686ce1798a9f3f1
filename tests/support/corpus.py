"""Images for tests: sound ones of every variety, bombs, and broken files, the same in every run.

    images()      name → bytes of a sound image; the name begins with the format as ImageHeader.format has it
    photograph()  the tutorial's elephant
    bombs()       name → small files whose headers claim enormous sizes
    broken()      name → (bytes, the error that `probe` raises)

Results are made once in memory and shared, so do not change them. `corpus_containers` builds byte by byte
what no encoder here writes: BMP varieties, HEIF with transformations, big-endian TIFF.
"""

import io
import random
import struct
import zipfile
import zlib
from functools import cache
from typing import Any

import pyvips
from PIL import Image

from conexiones.errors import CorruptImage, ImageError, NotAnImage, TruncatedImage, UnsupportedFormat
from tests.support import corpus_containers as containers
from tests.support.paths import ROOT

WIDTH, HEIGHT = 37, 23
"""The size of most images in pixels: odd, unequal, and small enough to cut the files at every byte."""


def photograph() -> bytes:
    """A JPEG of 1280 × 853 pixels."""
    return (ROOT / "client" / "image" / "elephant.jpg").read_bytes()


def picture(mode: str = "RGB", width: int = WIDTH, height: int = HEIGHT, *, seed: int = 0) -> Image.Image:
    """A gradient with noise, which no codec can reduce to nothing."""
    noise = random.Random(seed)
    values = bytes(
        (x * 5 + y * 3 + channel * 60 + noise.randrange(24)) & 255
        for y in range(height)
        for x in range(width)
        for channel in range(3)
    )
    return Image.frombytes("RGB", (width, height), values).convert(mode)


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    """The file that Pillow writes of an image."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def exif(orientation: int, *, order: str = "<", thumbnail: bytes = b"") -> bytes:
    """An EXIF block after its `Exif\\0\\0`, with a JPEG thumbnail in the second IFD if one is given."""
    magic = b"II*\0" if order == "<" else b"MM\0*"
    first = struct.pack(order + "HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 26 if thumbnail else 0)
    second = struct.pack(order + "HHHIIHHIII", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, len(thumbnail), 0)
    return (
        b"Exif\0\0" + magic + struct.pack(order + "I", 8) + first + (second + thumbnail if thumbnail else b"")
    )


def chunk(kind: bytes, data: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def vips(image: Image.Image, suffix: str, **options: Any) -> bytes:
    """The file that libvips writes of an image."""
    made = pyvips.Image.new_from_memory(
        image.tobytes(), image.width, image.height, len(image.getbands()), "uchar"
    ).copy(interpretation="cmyk" if image.mode == "CMYK" else "b-w" if image.mode == "L" else "srgb")
    return bytes(made.write_to_buffer(suffix, **options))


@cache
def images() -> dict[str, bytes]:
    """Sound images of every format, by names of the form `FORMAT variety`."""
    made: dict[str, bytes] = {}
    for name, varieties in (
        ("JPEG", _jpegs()),
        ("PNG", _pngs()),
        ("GIF", _gifs()),
        ("WEBP", _webps()),
        ("TIFF", _tiffs()),
        ("BMP", containers.bmps(picture())),
        ("AVIF", _avifs()),
        ("HEIF", containers.heifs()),
    ):
        made |= {f"{name} {variety}": data for variety, data in varieties.items()}
    return made


def _jpegs() -> dict[str, bytes]:
    rgb = picture()
    thumbnail = encoded(picture(width=16, height=10), "JPEG", quality=40)
    made = {
        "photograph": photograph(),
        "baseline": encoded(rgb, "JPEG"),
        "4:4:4": encoded(rgb, "JPEG", subsampling=0, quality=95),
        "progressive": encoded(rgb, "JPEG", progressive=True),
        "grey": encoded(rgb.convert("L"), "JPEG"),
        "cmyk": encoded(rgb.convert("CMYK"), "JPEG"),
        "restarts": encoded(rgb, "JPEG", restart_marker_blocks=1),
        "thumbnail": encoded(rgb, "JPEG", exif=exif(1, thumbnail=thumbnail)),
        "thumbnail turned": encoded(rgb, "JPEG", exif=exif(6, order=">", thumbnail=thumbnail)),
        "exif bad orientation": encoded(rgb, "JPEG", exif=exif(9)),
        "icc": encoded(rgb, "JPEG", icc_profile=bytes(range(256)) * 300),
        "comment": encoded(rgb, "JPEG", comment=b"\xff\xd9 no end of image"),
        "1x1": encoded(picture(width=1, height=1), "JPEG"),
        "wide": encoded(picture(width=3000, height=1), "JPEG"),
        "tall": encoded(picture(width=1, height=3000), "JPEG"),
    }
    for orientation in range(1, 9):
        order = "<>"[orientation & 1]
        made[f"orientation {orientation}"] = encoded(rgb, "JPEG", exif=exif(orientation, order=order))
    return made


def _pngs() -> dict[str, bytes]:
    rgb = picture()
    deep = pyvips.Image.new_from_memory(rgb.tobytes(), WIDTH, HEIGHT, 3, "uchar").cast("ushort") * 257
    frames = [picture(seed=seed) for seed in range(3)]
    first = encoded(rgb, "PNG")
    return {
        "rgb": first,
        "rgba": encoded(picture("RGBA"), "PNG"),
        "grey": encoded(picture("L"), "PNG"),
        "grey alpha": encoded(picture("LA"), "PNG"),
        "1 bit": encoded(picture("1"), "PNG"),
        "palette": encoded(rgb.quantize(200), "PNG"),
        "palette 4 bit": encoded(rgb.quantize(12), "PNG", bits=4),
        "16 bit": bytes(deep.cast("ushort").copy(interpretation="rgb16").write_to_buffer(".png")),
        "16 bit grey": encoded(picture("L").convert("I;16"), "PNG"),
        "interlaced": vips(rgb, ".png", interlace=True),
        "text": first[:33] + chunk(b"tEXt", b"Comment\0IEND") + first[33:],
        "many idat": containers.png_in_pieces(first, 7),
        "exif": encoded(rgb, "PNG", exif=exif(6)),
        "exif 3": encoded(rgb, "PNG", exif=exif(3)),
        "animated": encoded(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=40),
        "1x1": encoded(picture(width=1, height=1), "PNG"),
        "wide": encoded(picture(width=3000, height=1), "PNG"),
        "tall": encoded(picture(width=1, height=3000), "PNG"),
    }


def _gifs() -> dict[str, bytes]:
    rgb = picture()
    frames = [picture(seed=seed).quantize(32) for seed in range(4)]
    return {
        "still": encoded(rgb.quantize(64), "GIF", interlace=0),
        "interlaced": encoded(rgb.quantize(64), "GIF", interlace=1),
        "transparent": encoded(rgb.quantize(16), "GIF", transparency=3),
        "comment": encoded(rgb.quantize(16), "GIF", comment=b";" * 300),
        "animated": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50, loop=0),
        "animated disposal": encoded(
            frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50, disposal=2
        ),
        "screen 640x480": containers.with_screen(encoded(rgb.quantize(16), "GIF"), 640, 480),
        "screen 0x0": containers.with_screen(encoded(rgb.quantize(16), "GIF"), 0, 0),
        "screen 3000x20": containers.with_screen(encoded(rgb.quantize(16), "GIF"), 3000, 20),
        "screen smaller": containers.with_screen(encoded(rgb.quantize(16), "GIF"), 2, 40),
        "NUL before the end": encoded(rgb.quantize(64), "GIF")[:-1] + b"\0\0;",
        "screen larger": containers.with_screen(encoded(rgb.quantize(16), "GIF"), 99, 98),
        "1x1": encoded(picture("P", 1, 1), "GIF"),
        "wide": encoded(picture("P", 1500, 1), "GIF"),
        "tall": encoded(picture("P", 1, 1500), "GIF"),
    }


def _webps() -> dict[str, bytes]:
    rgb, rgba = picture(), picture("RGBA")
    rgba.putalpha(picture("L"))
    frames = [picture(seed=seed) for seed in range(3)]
    return {
        "lossy": encoded(rgb, "WEBP", quality=60),
        "lossless": encoded(rgb, "WEBP", lossless=True),
        "lossy alpha": encoded(rgba, "WEBP", quality=60),
        "lossless alpha": encoded(rgba, "WEBP", lossless=True),
        "exif": encoded(rgb, "WEBP", exif=exif(6)),
        "exif lossless": encoded(rgba, "WEBP", lossless=True, exif=exif(8, order=">")),
        "exif 3": encoded(rgb, "WEBP", exif=exif(3)),
        "icc": encoded(rgb, "WEBP", icc_profile=bytes(range(255))),
        "animated": encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=40),
        "animated lossless": encoded(
            frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True
        ),
        "1x1": encoded(picture(width=1, height=1), "WEBP"),
        "wide": encoded(picture(width=3000, height=1), "WEBP"),
        "tall": encoded(picture(width=1, height=3000), "WEBP"),
    }


def in_a_circle(tiff: bytes) -> bytes:
    """A TIFF that `containers` made, whose page is the next one of itself."""
    link = 8 + 2 + 10 * 12
    return tiff[:link] + struct.pack("<I", 8) + tiff[link + 4 :]


def _tiffs() -> dict[str, bytes]:
    rgb = picture()
    large = picture(width=96, height=80)
    pages = [picture(seed=seed) for seed in range(5)]
    deep = (pyvips.Image.new_from_memory(rgb.tobytes(), WIDTH, HEIGHT, 3, "uchar").cast("ushort") * 257).cast(
        "ushort"
    )
    made = {
        "strips": vips(rgb, ".tif", compression="none"),
        "pillow": encoded(rgb, "TIFF"),
        "many strips": encoded(rgb, "TIFF", compression="raw", tiffinfo={278: 1}),
        "lzw": encoded(rgb, "TIFF", compression="tiff_lzw"),
        "deflate": vips(rgb, ".tif", compression="deflate"),
        "packbits": encoded(rgb, "TIFF", compression="packbits"),
        "jpeg": vips(large, ".tif", compression="jpeg", tile=True, tile_width=32, tile_height=32),
        "tiles": vips(large, ".tif", tile=True, tile_width=16, tile_height=32),
        "pyramid": vips(large, ".tif", tile=True, tile_width=16, tile_height=16, pyramid=True),
        "pyramid subifd": vips(
            large, ".tif", tile=True, tile_width=16, tile_height=16, pyramid=True, subifd=True
        ),
        "bigtiff": vips(rgb, ".tif", bigtiff=True),
        "bigtiff pyramid": vips(
            large, ".tif", bigtiff=True, tile=True, tile_width=16, tile_height=16, pyramid=True, subifd=True
        ),
        "multipage": encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]),
        "multipage lzw": encoded(
            pages[0], "TIFF", save_all=True, append_images=pages[1:], compression="tiff_lzw"
        ),
        "big endian": containers.tiff(picture("L"), ">"),
        "little endian": containers.tiff(picture("L"), "<"),
        "big endian bigtiff": containers.tiff(picture("L"), ">", big=True),
        "cmyk": vips(rgb.convert("CMYK"), ".tif"),
        "1 bit fax": encoded(picture("1"), "TIFF", compression="group4"),
        "palette": encoded(rgb.quantize(50), "TIFF"),
        "16 bit": bytes(deep.copy(interpretation="rgb16").write_to_buffer(".tif")),
        "exif": encoded(rgb, "TIFF", exif=Image.Exif()),
        "cycle": in_a_circle(containers.tiff(picture("L"), "<")),
        "1x1": encoded(picture(width=1, height=1), "TIFF"),
        "wide": encoded(picture(width=3000, height=1), "TIFF"),
        "tall": encoded(picture(width=1, height=3000), "TIFF"),
    }
    for orientation in range(1, 9):
        made[f"orientation {orientation}"] = containers.tiff(picture("L"), "<", orientation=orientation)
    return made


def _avifs() -> dict[str, bytes]:
    rgb, rgba = picture(), picture("RGBA")
    rgba.putalpha(picture("L"))
    deep = (pyvips.Image.new_from_memory(rgb.tobytes(), WIDTH, HEIGHT, 3, "uchar").cast("ushort") * 257).cast(
        "ushort"
    )
    still = encoded(rgb, "AVIF", speed=10)
    transformed = {
        name: containers.transformed(still, properties)
        for name, properties in (
            ("irot", (containers.box(b"irot", b"\1"),)),
            ("clap", (containers.clap(30, 20),)),
            ("clap irot", (containers.clap(31, 20), containers.box(b"irot", b"\3"))),
        )
    }
    return transformed | {
        "8 bit": still,
        "alpha": encoded(rgba, "AVIF", speed=10),
        "vips": vips(rgb, ".avif", effort=0),
        "10 bit": bytes(deep.copy(interpretation="rgb16").write_to_buffer(".avif", bitdepth=10, effort=0)),
        "brand mif1": containers.rebranded(still, b"mif1"),
        "1x1": encoded(picture(width=1, height=1), "AVIF", speed=10),
        "wide": encoded(picture(width=900, height=1), "AVIF", speed=10),
        **{f"orientation {way}": encoded(rgb, "AVIF", speed=10, exif=exif(way)) for way in range(2, 9)},
    }


@cache
def bombs() -> dict[str, bytes]:
    """Small files, one per format and named for it, that claim more than 200 million pixels.

    `peek` and `probe` give the size of all of them, except that `probe` finds the BMP truncated.
    """
    side = 65500
    jpeg = bytearray(encoded(picture(), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", side, side)
    webp = bytearray(encoded(picture(), "WEBP", lossless=True))
    webp[21:25] = struct.pack("<I", 16382 | 16382 << 14)
    gif = bytearray(encoded(picture("P"), "GIF"))
    gif[6:10] = struct.pack("<HH", side, side)
    image = containers.gif_image(gif)
    gif[image + 5 : image + 9] = struct.pack("<HH", side, side)
    ihdr = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 6, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1 << 20)))
    return {
        "JPEG": bytes(jpeg),
        "PNG": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + pixels + chunk(b"IEND", b""),
        "GIF": bytes(gif),
        "WEBP": bytes(webp),
        "TIFF": containers.tiff(picture("L"), "<", claims=(side, side)),
        "BMP": containers.bmp_header(40, side, side, 24, 0, 0, 54) + bytes(400),
        "AVIF": containers.heif(b"avif", ispe=(side, side)),
        "HEIF": containers.heif(b"heic", ispe=(side, side)),
    }


@cache
def broken() -> dict[str, tuple[bytes, type[ImageError]]]:
    """Files that are refused, by name, each with its error."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(zipfile.ZipInfo("photo.jpg"), photograph()[:500])
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    ftyp = struct.pack(">I4s4sI", 16, b"ftyp", b"isom", 0)
    jpeg, png, gif = images()["JPEG baseline"], images()["PNG rgb"], images()["GIF still"]
    unsupported = {
        "svg": svg,
        "svg bom": b"\xef\xbb\xbf" + svg,
        "svg utf-16": svg.decode().encode("utf-16"),
        "svg prolog": b'<?xml version="1.0" encoding="UTF-8"?>\r\n<!-- <html> -->\n ' + svg,
        "svg doctype": b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "x.dtd">' + svg,
        "svg whitespace": b" \n\t " + svg,
        "svg prefixed": b'<s:svg xmlns:s="http://www.w3.org/2000/svg"/>',
        "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n",
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n",
        "eps with preview": b"\xc5\xd0\xd3\xc6" + bytes(26),
        "psd": b"8BPS\0\x01" + bytes(6) + struct.pack(">HIIHH", 3, 9, 9, 8, 3),
        "ico": encoded(picture("RGBA", 16, 16), "ICO"),
        "jpeg xl codestream": b"\xff\x0a\xfa\x1f\x01\x91\x08\x06\x01\0",
        "jpeg xl": b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl \0\0\0\0jxl ",
        "jpeg 2000": encoded(picture(), "JPEG2000"),
        "jpeg 2000 codestream": encoded(picture(), "JPEG2000", no_jp2=True),
        "jpeg-ls": b"\xff\xd8\xff\xf7\0\x0b\x08\0\x10\0\x10\x01\x01\x11\0\xff\xd9",
        "exr": b"\x76\x2f\x31\x01\x02\0\0\0channels\0",
        "hdr": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 9 +X 9\n",
        "pgm": encoded(picture("L"), "PPM"),
        "ppm": encoded(picture(), "PPM"),
        "pam": b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nENDHDR\n\0",
        "dds": encoded(picture("RGBA"), "DDS"),
        "qoi": b"qoif\0\0\0\x01\0\0\0\x01\x03\0\xfe\x01\x02\x03" + bytes(7) + b"\x01",
        "mp4": ftyp + struct.pack(">I4s", 8, b"mdat"),
        "mov": struct.pack(">I4s4sI4s", 20, b"ftyp", b"qt  ", 0, b"qt  "),
        "old mov": struct.pack(">I4sI4s", 8, b"wide", 100, b"mdat"),
        "bmp with jpeg": containers.bmp_header(40, 9, 9, 0, 4, len(jpeg), 54) + jpeg,
        "jpeg-dnl": jpeg[: jpeg.index(b"\xff\xc0") + 5] + b"\0\0" + jpeg[jpeg.index(b"\xff\xc0") + 7 :],
        "bmp with png": containers.bmp_header(40, 9, 9, 0, 5, len(png), 54) + png,
    }
    nothing = {
        "empty": b"",
        "one byte": b"\xff",
        "garbage": random.Random(1).randbytes(5000),
        "zeros": bytes(4096),
        "text": b"BM is how this text begins, and it goes on for a while.\n" * 9,
        "html": b"<!DOCTYPE html><html><body><svg></svg></body></html>",
        "xml": b'<?xml version="1.0"?><rss><svg/></rss>',
        "zip": archive.getvalue(),
        "gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\x03",
        "wav": b"RIFF\x24\0\0\0WAVEfmt " + bytes(28),
        "elf": b"\x7fELF\x02\x01\x01" + bytes(60),
    }
    truncated = {
        "jpeg half": photograph()[:150_000],
        "jpeg without eoi": jpeg[:-2],
        "png half": png[: len(png) // 2],
        "png without iend": png[:-12],
        "gif without trailer": gif[:-1],
        "webp short": images()["WEBP lossy"][:-1],
        "tiff without directory": images()["TIFF strips"][:-20],
        "bmp last row": images()["BMP 24 bit"][:-4],
        "avif half": images()["AVIF 8 bit"][: len(images()["AVIF 8 bit"]) // 2],
        "heif short": images()["HEIF plain"][:-1],
        "only a signature": b"\x89PNG\r\n\x1a\n",
        "bmp bomb": bombs()["BMP"],
    }
    corrupt = containers.corrupt(jpeg=jpeg, png=png, gif=gif, webp=images()["WEBP lossy"], chunk=chunk)
    return {
        name: (data, error)
        for error, files in (
            (UnsupportedFormat, unsupported),
            (NotAnImage, nothing),
            (TruncatedImage, truncated),
            (CorruptImage, corrupt),
        )
        for name, data in files.items()
    }
