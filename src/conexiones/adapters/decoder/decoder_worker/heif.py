"""Images that have boxes: HEIC by libheif with libde265, other stills by the libheif in libvips, and AVIF
sequences by libavif."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

# Loaded before the sandbox, within which nothing can be. `_pi_heif` is the module in C of pi-heif, whose
# Python side reads the metadata of all images in a file, and crashes where a media type is not UTF-8.
import _pi_heif
import pyvips
from PIL import AvifImagePlugin, ImageOps, TiffImagePlugin

from .refusals import CONTRADICTED_LIMIT, Refused, check_pixels, refusal

AvifImagePlugin.DEFAULT_MAX_THREADS = 1
TIFF = TiffImagePlugin
"""With this Pillow reads EXIF, and would load it only then."""

SEQUENCE = b"avis"
"""A brand of every AVIF that is an animation."""

STILL = b"avif"
"""The major brand of an AVIF in which a track is only an addition. Of others, libavif shows the track."""

HEVC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
"""The major brands of files whose image is HEVC, which libvips does not decode."""

LAYERED = frozenset({b"heim", b"heis", b"hevm", b"hevs"})
"""Those of them with several views or layers in one bitstream, which libde265 may not decode."""

ITEM_ERRORS = (ValueError, EOFError, SyntaxError, RuntimeError, OSError)
"""What pi-heif raises where libheif fails."""

METADATA = re.compile(rb"(infe[\2\3].{3}.{4}(?:..)?)mime", re.DOTALL)
"""What names an item of metadata (ISO/IEC 14496-12, 8.11.6)."""

TURNING = re.compile(rb"(infe[\2\3].{3}.{4}(?:..)?)(?:mime|Exif)", re.DOTALL)
"""The same, and what names an item of EXIF. Pillow would turn a sequence by the orientation in XMP, and stop
at EXIF that it cannot read."""

THUMBNAILS = re.compile(rb"(\0\0\0.)thmb", re.DOTALL)
"""What makes an item the thumbnail of others (ISO/IEC 14496-12, 8.11.12)."""

WITHOUT_DECODER = re.compile(r"unsupported|not been built in", re.IGNORECASE)
NOTHING = "Decoder plugin generated an error"

MONOCHROME = 2
"""heif_colorspace_monochrome."""

CODE_POINTS = b"colrnclx"
UNSPECIFIED = CODE_POINTS + b"\0\2\0\2\0\2"
DEFAULTS = CODE_POINTS + b"\0\1\0\x0d\0\6"
"""What unspecified code points mean (ISO/IEC 23000-22, 7.3.6.4). libheif takes them for none at all, and so
misses the range that is said beside them."""

CLAP = b"\0\0\0\x28clap"
"""The beginning of a property that cuts a part out of an image."""

BYTES_PER_PIXEL = 5
"""What libde265 takes: its picture, and the picture in RGB."""

# Code points of ISO/IEC 23091-2. Those of transfer are curves that differ little from that of sRGB.
P3_PRIMARIES, SDR_TRANSFERS = 12, frozenset({1, 2, 6, 13, 14, 15})

PREMULTIPLIED = "RGBa"

LONGEST_FRAME = 0xFFFFFF
"""Milliseconds. WebP, as which an animation is rendered, has 24 bits for them."""


@dataclass(frozen=True, slots=True)
class Boxed:
    """An image: `header` tells its properties. `frames` gives its frames, of which there are `count`; their
    pixels can be read once, as long as this object lives, for `owner` owns their memory."""

    header: Any
    frames: Callable[[], Iterable[Any]]
    count: int = 1
    owner: Any = None


def boxed(descriptor: int, format: str, limit: int, *, animated: bool) -> Boxed:
    """The image of an AVIF or HEIF file, upright. With `animated` it has all frames of an AVIF sequence.

    It is the primary item of the file: thumbnails, depth maps, gain maps and other images beside it are not
    looked at. Raises Refused, MemoryError and pyvips.Error.
    """
    os.lseek(descriptor, 0, os.SEEK_SET)
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        data = file.read().replace(UNSPECIFIED, DEFAULTS)
    item, fault = _primary(data)
    brand = data[8:12]
    # libheif does not say in which range the bitstream of a grey image is, if the file does not say it.
    silent = format == "AVIF" and item and item.colorspace == MONOCHROME and CODE_POINTS not in data
    tracked = format == "AVIF" and brand != STILL and SEQUENCE in data[8 : min(256, int.from_bytes(data[:4]))]
    if tracked or (silent and CLAP not in data):
        sequence = _sequence(data, item, limit, animated=animated, still=bool(silent))
        if sequence:
            return sequence
    if fault and brand in HEVC:
        raise refusal(fault)
    image = _hevc(data, item, limit) if format == "HEIF" and item else None
    if image is None:
        # For `thumbnail_buffer` libvips would take a thumbnail in the file that is large enough, which might
        # show another picture than the one that is described.
        image = pyvips.Image.heifload_buffer(data, fail_on="error", access="sequential")
        check_pixels(image.width, image.height, limit)
        if item and item.size_mode[1].startswith(PREMULTIPLIED):
            image = _divided(image)
    if item and item.colorspace == MONOCHROME:
        image = _grey(image, full_range=_has_full_range(data, item))
    image = _coloured(image, item)
    return Boxed(image, lambda: [image], owner=item)


def _primary(data: bytes) -> tuple[Any | None, str]:
    """The primary item, of which only properties have been read. None where libheif cannot read the file, and
    what it says of that. Raises Refused."""
    try:
        try:
            items = _items(data)
        except ITEM_ERRORS:
            # Metadata may be encoded in a way that libheif does not know: then it refuses the whole file.
            items = _items(METADATA.sub(rb"\1free", data))
        if not (primary := _marked(items)):
            # It does not list an image that is another one's thumbnail, even if it is the primary one.
            primary = _marked(_items(THUMBNAILS.sub(rb"\1free", data)))
    except ITEM_ERRORS as error:
        return None, str(error)
    if not primary:
        # It is in another codec, or derived from others in a way that libheif does not know. libvips would
        # show another image instead.
        raise Refused("UNSUPPORTED", "the primary item is no image that libheif knows")
    return primary, ""


def _marked(items: list[Any]) -> Any | None:
    return next((item for item in items if item is not None and item.primary), None)


def _items(data: bytes) -> list[Any]:
    # No thread of its own; 8 bits for colours; pixels without gaps between lines; and without libheif's own
    # limits of what a file may consist of, since the server has looked at that, and the sandbox has others.
    return list(_pi_heif.load_file(data, 0, True, False, True, True, "", True))


def _hevc(data: bytes, item: Any, limit: int) -> Any | None:
    """The image of a primary item. None if its codec is one that libvips may know."""
    (width, height), _ = item.size_mode
    check_pixels(width, height, limit)
    try:
        stride, pixels = item.stride, item.data
    except ITEM_ERRORS as error:
        if WITHOUT_DECODER.search(str(error)):
            if data[8:12] in HEVC:
                raise Refused("UNSUPPORTED", str(error)) from error
            return None
        if NOTHING in str(error) and data[8:12] in LAYERED:
            raise Refused("UNSUPPORTED", str(error)) from error
        raise _failure(str(error), width * height, cut=CLAP in data) from error
    # The size of the pixels, which a bitstream may contradict. Then they are those that are there.
    (width, height), mode = item.size_mode
    check_pixels(width, height, limit)
    grey, deep = mode.startswith(("L", "I")), ";" in mode
    bands = stride // width // (2 if deep else 1)
    image = pyvips.Image.new_from_memory(pixels, width, height, bands, "ushort" if deep else "uchar")
    spaces = ("b-w", "grey16") if grey else ("srgb", "rgb16")
    image = image.copy(interpretation=spaces[deep])
    if mode == PREMULTIPLIED:
        image = _divided(image)
    image.set_type(pyvips.GValue.gint_type, "bits-per-sample", item.bit_depth)
    return image


def _divided(image: Any) -> Any:
    """An image of which the colours are multiplied with its transparency, without that."""
    return image.unpremultiply().cast(image.format).copy(interpretation=image.interpretation)


def _has_full_range(data: bytes, item: Any) -> bool:
    """Whether the samples of an item go from 0 to the largest number, which they do if nothing is said."""
    try:
        profile = item.color_profile
    except ITEM_ERRORS:
        return True
    if profile.get("type") == "nclx":
        return bool(profile["data"]["full_range_flag"])
    # An ICC profile hides what is said by code points.
    at = data.find(CODE_POINTS)
    return at < 0 or not data[at + 14 : at + 15] < b"\x80"


def _grey(image: Any, *, full_range: bool) -> Any:
    """An image of one colour, with its alpha, if it has that. libheif gives the samples as they are."""
    deep = image.format == "ushort"
    grey = image.extract_band(0)
    if not full_range:
        # 16 is black, and 235 is white, times a power of two (ISO/IEC 23091-2, 8.3).
        unit, most = (256, 65_535) if deep else (1, 255)
        scale = most / (219 * unit)
        grey = grey.linear(scale, 0.5 - 16 * unit * scale).cast(image.format)
    if image.hasalpha():
        grey = grey.bandjoin(image.extract_band(image.bands - 1))
    return grey.copy(interpretation="grey16" if deep else "b-w")


def _failure(text: str, pixels: int, *, cut: bool) -> Refused:
    """The refusal of which libheif's text speaks. `cut`: the image may be a part of its bitstream."""
    if cut and CONTRADICTED_LIMIT.search(text):
        # libheif 1.23 compares the bitstream with the size of the part.
        return Refused("UNSUPPORTED", text)
    if NOTHING in text:
        # libde265 does not say whether it lacked memory.
        try:
            bytearray(pixels * BYTES_PER_PIXEL)
        except MemoryError:
            return Refused("MEMORY", text)
    return refusal(text)


def _coloured(image: Any, item: Any | None) -> Any:
    """The image with the colour profile of its item, if that is one that libvips has not attached itself."""
    if item is None or image.get_typeof("icc-profile-data"):
        return image
    try:
        profile = item.color_profile
    except ITEM_ERRORS:
        return image
    data = profile.get("data")
    if profile.get("type") == "nclx":
        p3 = data["color_primaries"] == P3_PRIMARIES and data["transfer_characteristics"] in SDR_TRANSFERS
        data = pyvips.Operation.call("profile_load", "p3") if p3 else None
    return _profiled(image, data)


def _profiled(image: Any, profile: bytes | None) -> Any:
    if profile:
        image = image.copy()
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return image


def _sequence(
    data: bytes, item: Any | None, limit: int, *, animated: bool, still: bool = False
) -> Boxed | None:
    """The frames of an AVIF sequence, or the first one of them, in 8 bits per sample. None if the file has no
    more than its primary item, unless a `still` is asked for."""
    try:
        file = AvifImagePlugin.AvifImageFile(BytesIO(TURNING.sub(rb"\1free", data)))
        if item and file.n_frames == 1 and not still:
            return None
        count = file.n_frames if animated else 1
        check_pixels(file.width, file.height * count, limit)
        first = next(_decoded(file, item, 1))
    except (Refused, MemoryError):
        raise
    except Exception as error:  # Pillow's plugins let anything through.
        raise refusal(repr(error)) from error
    if item:
        first = first.copy()
        first.set_type(pyvips.GValue.gint_type, "bits-per-sample", item.bit_depth)
    return Boxed(first, lambda: _decoded(file, item, count), count)


def _decoded(file: AvifImagePlugin.AvifImageFile, item: Any | None, count: int) -> Iterator[Any]:
    """The first frames of a sequence, one after another, each with its `delay` in milliseconds. The primary
    `item` has their colours, if they have no profile. Raises Refused and MemoryError."""
    for number in range(count):
        try:
            file.seek(number)
            # libavif turns no pixels: Pillow says in EXIF what the transformations in the file ask for.
            frame = ImageOps.exif_transpose(file)
            delay = min(max(int(file.info.get("duration", 0)), 0), LONGEST_FRAME)
        except MemoryError:
            raise
        except Exception as error:
            raise refusal(repr(error)) from error
        pixels = pyvips.Image.new_from_memory(frame.tobytes(), *frame.size, len(frame.mode), "uchar")
        space = "b-w" if frame.mode in ("L", "LA") else "srgb"
        image = _profiled(pixels.copy(interpretation=space), file.info.get("icc_profile"))
        image = _coloured(image, item).copy()
        image.set_type(pyvips.GValue.array_int_type, "delay", [delay])
        yield image
