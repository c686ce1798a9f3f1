"""Small real images for tests, one or more of each format that the server accepts, and files that it refuses.

The images are files in sample_images/, 28 KB in all, made with Pillow and libheif from one drawing of 96 × 64
pixels. The files that are refused are derived from them here.
"""

import struct
import zlib
from dataclasses import dataclass
from importlib.resources import files

from conexiones.image_formats import ImageFormat, media_type


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """An image, or a file that pretends to be one.

    `format`, `width` × `height` in pixels and `frames` are what the server says of the image, with its EXIF
    orientation applied. `reason` is empty, or the reason (docs/errors.md) for which the server refuses the
    file. In that case the other fields are what the file claims, and "" or 0 where it claims nothing.
    """

    name: str
    media_type: str
    data: bytes
    format: str = ""
    width: int = 0
    height: int = 0
    frames: int = 1
    reason: str = ""


_SOUND: tuple[tuple[str, ImageFormat], ...] = (
    ("photo.jpg", "JPEG"),
    ("turned.jpg", "JPEG"),  # EXIF orientation 6: stored 64 × 96
    ("transparent.png", "PNG"),
    ("animated.gif", "GIF"),
    ("lossy.webp", "WEBP"),
    ("scan.tif", "TIFF"),
    ("palette.bmp", "BMP"),
    ("photo.avif", "AVIF"),
    ("photo.heic", "HEIF"),
)


def samples() -> tuple[Sample, ...]:
    """Images that the server stores, and makes previews of."""
    folder = files("conexiones") / "sample_images"
    return tuple(
        Sample(
            name=name,
            media_type=media_type(format),
            data=(folder / name).read_bytes(),
            format=format,
            width=96,
            height=64,
            frames=3 if name == "animated.gif" else 1,
        )
        for name, format in _SOUND
    )


def hostile_samples() -> tuple[Sample, ...]:
    """Files that the server refuses, with the reason: empty files, truncated and damaged images, files that
    are no images, and decompression bombs, which are small but claim more pixels than fit into any memory."""
    sound = {sample.name: sample.data for sample in samples()}
    jpeg, png = sound["photo.jpg"], sound["transparent.png"]
    text = b"Not every file with an image's name is one.\n"
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="96" height="64"/>'
    return (
        Sample(name="empty.jpg", media_type="image/jpeg", data=b"", reason="EMPTY_STREAM"),
        Sample(name="text.jpg", media_type="image/jpeg", data=text, reason="NOT_AN_IMAGE"),
        Sample(name="drawing.svg", media_type="image/svg+xml", data=svg, reason="UNSUPPORTED_FORMAT"),
        *(
            Sample(
                name=f"truncated.{name.rpartition('.')[2]}",
                media_type=media_type(format),
                data=sound[name][: len(sound[name]) * 2 // 3],
                format=format,
                width=96,
                height=64,
                reason="TRUNCATED_IMAGE",
            )
            for name, format in _SOUND
            # This TIFF ends with its directory, not with its pixels.
            if name not in {"turned.jpg", "scan.tif"}
        ),
        Sample(
            name="corrupt.png",
            media_type="image/png",
            data=png[:20] + bytes(4) + png[24:],
            format="PNG",
            reason="CORRUPT_IMAGE",
        ),
        Sample(
            name="bomb.jpg",
            media_type="image/jpeg",
            data=_claiming(jpeg, 65_500),
            format="JPEG",
            width=65_500,
            height=65_500,
            reason="TOO_MANY_PIXELS",
        ),
        Sample(
            name="bomb.png",
            media_type="image/png",
            data=_bomb(2**31 - 1),
            format="PNG",
            width=2**31 - 1,
            height=2**31 - 1,
            reason="TOO_MANY_PIXELS",
        ),
    )


def _claiming(jpeg: bytes, side: int) -> bytes:
    """The JPEG with another size in its frame header (SOF0, ITU-T T.81, B.2.2)."""
    size = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:size] + struct.pack(">HH", side, side) + jpeg[size + 4 :]


def _bomb(side: int) -> bytes:
    """A PNG (https://www.w3.org/TR/png-3) that claims side × side pixels, with 1 MiB of zeros deflated to 1
    KB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    pixels = zlib.compress(bytes(1 << 20), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
