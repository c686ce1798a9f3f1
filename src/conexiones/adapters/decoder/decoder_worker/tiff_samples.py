"""What the samples of a TIFF mean (Adobe "TIFF Revision 6.0"), where libvips takes them for something else.

libvips reads many kinds of samples that it then shows in wrong colours: numbers of 32 bits as if they were of
8, YCbCr as if it were RGB. Such an image is converted here, or refused as UNSUPPORTED.
"""

import math
import os
import struct
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from .conversions import Conversion, Convert, Load
from .refusals import Refused

Step = Callable[[Any], Any]
"""Makes another image of one."""

Tags = dict[int, list[float]]


class Place(NamedTuple):
    """Where the first value of a tag is, if it is in the directory, how struct has it, and their number."""

    position: int
    layout: str
    values: int


class Entry(NamedTuple):
    """An entry of a directory: its `value` has all values, or their place, and stands at `start`."""

    tag: int
    kind: int
    number: int
    value: bytes
    start: int
    order: str


_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _INK_SET, _EXTRA, _FORMAT = 258, 259, 262, 277, 332, 338, 339
_PLANES, _COLOUR_MAP = 284, 320
_COEFFICIENTS, _SUBSAMPLING, _REFERENCES = 529, 530, 532
_SUB_IFDS, _DNG_VERSION = 330, 50706
_NEEDED = frozenset(
    {_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _INK_SET, _EXTRA, _FORMAT, _PLANES, _COLOUR_MAP}
    | {_COEFFICIENTS, _SUBSAMPLING, _REFERENCES, _SUB_IFDS, _DNG_VERSION}
)
_MOST_VALUES = 16  # of a tag that are looked at

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _LAB = 0, 1, 2, 3, 5, 6, 8
_LOG_LUV = 32845
_RAW = (32803, 34892)  # a colour filter array, and linear raw (DNG 1.7)
_COLOURS: Final = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3, _LAB: 3}
"""Photometric interpretation → the samples of a pixel that are colours. LogLuv is all libvips' own."""

_D50: Final = [96.42, 100.0, 82.49]
# Bradford's adaptation of XYZ to another white (ICC.1:2022, Annex E).
_D50_TO_D65: Final = [[0.9556, -0.0230, 0.0632], [-0.0283, 1.0099, 0.0210], [0.0123, -0.0205, 1.3299]]

_OLD_JPEG, _JPEG = 6, 7
_CMYK_INKS, _TOGETHER = 1, 1
_PREMULTIPLIED, _ALPHA = 1, 2
_UNSIGNED, _SIGNED, _FLOAT, _UNDEFINED = 1, 2, 3, 4
_NUMBERS_BITS = {_UNSIGNED: (1, 2, 4, 8, 16, 32), _FLOAT: (32,)}
_LAB_BITS = {_UNSIGNED: (8, 16), _SIGNED: (8, 16)}
"""Format of samples → the bits that they may have; and the same for L*a*b*."""

# The types of fields of numbers, as struct has them. 5 and 10 are fractions.
_KINDS = {1: "B", 3: "H", 4: "I", 5: "II", 6: "b", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d"}
_KINDS |= {13: "I", 16: "Q", 17: "q", 18: "Q"}
_WHOLE = frozenset({1, 3, 4, 13, 16, 18})
_FRACTIONS = frozenset({5, 10, 11, 12})
_FRACTIONAL = frozenset({_COEFFICIENTS, _REFERENCES})
"""The tags whose values may be fractions. libtiff takes whole numbers only for all others."""
_OFFSETS = (13, 18)  # types of offsets of directories, and of nothing else

_RANGES = ((0.0, 1.0), (16.0, 255.0), (4096.0, 65535.0))
"""A floating-point image has one of these as white if its largest sample is between the two numbers."""


def conversion(descriptor: int) -> Conversion | None:
    """What has to be done with what libvips loads of the first page; None if that is right as it is.

    Raises Refused where neither libvips nor this module knows what is meant.
    """
    tags, places = directory(descriptor)
    photometric = _one(tags, _PHOTOMETRIC, -1)
    _refuse_raw(descriptor, tags)
    if photometric == _LOG_LUV:
        return None
    _check(tags, photometric)
    samples, bits, kind = _sample(tags, lab=photometric == _LAB)
    _check_palette(photometric, places, samples, bits)
    colours = _COLOURS[photometric]
    if samples < colours or (bits < 8 and samples > 1):
        raise Refused("UNSUPPORTED", f"{samples} samples of {bits} bits, photometric {photometric}")
    if photometric == _LAB:
        return _from_lab(descriptor, places[_PHOTOMETRIC], samples, bits, kind)
    alpha = _alpha(tags, colours, samples, deep=bits == 32 or (photometric == _CMYK and bits == 16))
    steps = _steps(tags, photometric, samples, bits, alpha)
    if bits <= 16:
        return Conversion(_in_turn(steps)) if steps else None
    if photometric not in (_BLACK_IS_ZERO, _RGB):
        raise Refused("UNSUPPORTED", f"samples of {bits} bits, photometric {photometric}")
    if kind == _UNSIGNED:
        return Conversion(_in_turn([*steps, lambda image: _deep((image >> 16).cast("ushort"))]))
    return Conversion(lambda load: _from_float(_in_turn(steps), load, alpha=alpha is not None))


def _refuse_raw(descriptor: int, tags: Tags) -> None:
    """Raises Refused for the raw image of a camera, whose first page is a thumbnail. Such files are not
    stored any more, but earlier versions took them for TIFF."""
    if tags.get(_DNG_VERSION):
        raise Refused("UNSUPPORTED", "DNG")
    for at in tags.get(_SUB_IFDS, []):
        below, _ = directory(descriptor, int(at))
        if _one(below, _PHOTOMETRIC, -1) in _RAW:
            raise Refused("UNSUPPORTED", "a raw image")


def _check(tags: Tags, photometric: int) -> None:
    """Raises Refused for what is known to be read wrongly, or not at all."""
    if photometric not in _COLOURS:
        raise Refused("UNSUPPORTED", f"photometric interpretation {photometric}")
    if _one(tags, _COMPRESSION, 1) == _OLD_JPEG:
        raise Refused("UNSUPPORTED", "old-style JPEG compression")
    if photometric == _YCBCR and _one(tags, _PLANES, _TOGETHER) != _TOGETHER:
        raise Refused("UNSUPPORTED", "YCbCr in planes")
    if _one(tags, _PLANES, _TOGETHER) != _TOGETHER and _one(tags, _SAMPLES, 1) > 1 == _COLOURS[photometric]:
        # libvips takes the rows of a plane for as long as if the other samples were among them.
        raise Refused("UNSUPPORTED", "grey or a palette, and other samples in planes of their own")
    if photometric == _CMYK and _one(tags, _INK_SET, _CMYK_INKS) != _CMYK_INKS:
        raise Refused("UNSUPPORTED", "other inks than those of CMYK")


def _check_palette(photometric: int, places: dict[int, Place], samples: int, bits: int) -> None:
    """Raises Refused for an image with a palette that libvips does not look at: it would show it in grey."""
    if photometric != _PALETTE:
        return
    if bits > 8 or samples > 2 or _BITS not in places:
        raise Refused("UNSUPPORTED", f"a palette for {samples} samples of {bits} bits")
    if _COLOUR_MAP not in places or places[_COLOUR_MAP].values < 3 << bits:
        raise Refused("CORRUPT", "the palette is not there")


def _alpha(tags: Tags, colours: int, samples: int, *, deep: bool) -> int | None:
    """Which sample of a pixel with more than colours is its transparency; None if none is. Others may be
    anything, and libvips would take the first one for transparency, whatever it is."""
    kinds = [int(kind) for kind in tags.get(_EXTRA) or ([_ALPHA] if samples == colours + 1 else [])]
    if _PREMULTIPLIED in kinds and (deep or samples > colours + 1):
        # libvips would divide the others by it, too, and by what is deep as if it were a number of 8 bits.
        raise Refused("UNSUPPORTED", "colours multiplied with transparency that is deep, or beside others")
    found = (place for place, kind in enumerate(kinds, colours) if kind in (_PREMULTIPLIED, _ALPHA))
    alpha = next(found, samples)
    return alpha if alpha < samples else None


def _steps(tags: Tags, photometric: int, samples: int, bits: int, alpha: int | None) -> list[Step]:
    """What has to be done with what libvips loads of a pixel's samples, whatever their range is."""
    steps: list[Step] = []
    if samples > _COLOURS[photometric] + (alpha is not None):
        steps.append(_with_alpha(photometric, alpha))
    if photometric == _YCBCR and _one(tags, _COMPRESSION, 1) != _JPEG:
        steps.append(_from_ycbcr(tags, bits))
    if photometric == _CMYK and bits == 16 and alpha is not None:
        # libvips does not take the transparency of CMYK from 16 bits to 8, as it does that of RGB and grey.
        steps.append(lambda image: (image / 257 + 0.5).cast("uchar").copy(interpretation="cmyk"))
    return steps


def _with_alpha(photometric: int, alpha: int | None) -> Step:
    def convert(image: Any) -> Any:
        # Where there is a palette, libvips has looked up its colours, and the other sample follows them.
        colours = image.bands - 1 if photometric == _PALETTE else _COLOURS[photometric]
        kept = image.extract_band(0, n=colours)
        return kept if alpha is None else kept.bandjoin(image.extract_band(alpha))

    return convert


def _in_turn(steps: list[Step]) -> Convert:
    def convert(load: Load) -> Any:
        image = load()
        for step in steps:
            image = step(image)
        return image

    return convert


def _sample(tags: Tags, *, lab: bool) -> tuple[int, int, int]:
    """How many samples a pixel has, and of how many bits and which format they are."""
    samples = _one(tags, _SAMPLES, 1)
    every_bits, formats = set(tags.get(_BITS, [1])), set(tags.get(_FORMAT, [_UNSIGNED]))
    if len(every_bits) != 1 or len(formats) != 1:
        raise Refused("UNSUPPORTED", "samples of several kinds")
    bits, kind = int(every_bits.pop()), int(formats.pop())
    if kind == _UNDEFINED:
        kind = _UNSIGNED
    if bits not in (_LAB_BITS if lab else _NUMBERS_BITS).get(kind, ()):
        raise Refused("UNSUPPORTED", f"samples of {bits} bits, format {kind}")
    return samples, bits, kind


def _deep(image: Any) -> Any:
    return image.copy(interpretation="rgb16" if image.bands >= 3 else "grey16")


def _from_float(convert: Convert, load: Load, *, alpha: bool) -> Any:
    """Floating-point samples have no range of their own, so that of the image is looked for.

    0 to 1 is usual, and some programs write what they have in 8 or 16 bits. What is in no such range, such
    as heights or the light of a scene, is refused rather than shown too dark or too light.
    """
    least, most = (getattr(_numbers(convert(load)), end)() for end in ("min", "max"))
    white = next((white for over, white in _RANGES if over <= max(most, 0) <= white), 0.0)
    if not white or least < -white or (alpha and white != 1):
        raise Refused("UNSUPPORTED", f"floating-point samples from {least} to {most}")
    return _deep((_numbers(convert(load)) * (65535 / white) + 0.5).cast("ushort"))


def _numbers(image: Any) -> Any:
    """The image with 0 for samples that are no number."""
    return (image == image).ifthenelse(image, 0)


def _from_ycbcr(tags: Tags, bits: int) -> Step:
    """The conversion to RGB (TIFF 6.0, 21), which is for libjpeg where the compression is JPEG."""
    if bits != 8 or tags.get(_SUBSAMPLING, [2, 2]) != [1, 1]:
        raise Refused("UNSUPPORTED", "YCbCr with fewer chroma than luma samples")
    luma = tags.get(_COEFFICIENTS) or [0.299, 0.587, 0.114]
    references = tags.get(_REFERENCES) or [0, 255, 128, 255, 128, 255]
    if len(luma) != 3 or len(references) != 6:
        raise Refused("UNSUPPORTED", "YCbCr with a part of its coefficients or references")
    red, green, blue = luma
    black, white, zero_blue, most_blue, zero_red, most_red = references
    if not green or white == black or most_blue == zero_blue or most_red == zero_red:
        raise Refused("UNSUPPORTED", "YCbCr without a range")
    scales = [255 / (white - black), 127 / (most_blue - zero_blue), 127 / (most_red - zero_red)]
    offsets = [-scales[0] * black, -scales[1] * zero_blue, -scales[2] * zero_red]
    of_blue, of_red = 2 - 2 * blue, 2 - 2 * red
    matrix = [[1, 0, of_red], [1, -of_blue * blue / green, -of_red * red / green], [1, of_blue, 0]]

    def convert(image: Any) -> Any:
        rest = image.extract_band(3, n=image.bands - 3) if image.bands > 3 else None
        colours = image.extract_band(0, n=3).linear(scales, offsets)
        colours = (colours.recomb(matrix) + 0.5).cast("uchar")
        return (colours.bandjoin(rest) if rest else colours).copy(interpretation="srgb")

    return convert


def _from_lab(descriptor: int, place: Place, samples: int, bits: int, kind: int) -> Conversion:
    """The conversion of CIE L*a*b* (TIFF 6.0, 23) with the white D50, as Photoshop and LittleCMS have it.

    libvips takes D65, and cannot load 8 bits. So it is told that this is RGB; `place` is where the file says
    what it is.

    libvips itself writes 16 bits with D65. It is alone in that, and in saying that samples have a sign.
    """
    if samples != 3:
        raise Refused("UNSUPPORTED", f"L*a*b* with {samples} samples")
    data = bytearray(os.pread(descriptor, os.lseek(descriptor, 0, os.SEEK_END), 0))
    struct.pack_into(place.layout, data, place.position, _RGB)
    most, half, step = (255, 128, 1) if bits == 8 else (65535, 32768, 256)

    def convert(load: Load) -> Any:
        image = load().copy(interpretation="multiband")
        if image.get_typeof("icc-profile-data"):
            image.remove("icc-profile-data")
        light = (image[0].cast("int") & most).linear(100 / most, 0)
        signed = ((image.extract_band(1, n=2).cast("int") + half & most) - half) / step
        lab = light.bandjoin(signed).cast("float").copy(interpretation="lab")
        if kind == _SIGNED:
            return lab.colourspace("srgb")
        return lab.Lab2XYZ(temp=_D50).recomb(_D50_TO_D65).copy(interpretation="xyz").colourspace("srgb")

    return Conversion(convert, bytes(data), "lab")


def _one(tags: Tags, tag: int, default: int) -> int:
    return int(tags[tag][0]) if tags.get(tag) else default


def compression(descriptor: int) -> int:
    """How the pixels are compressed."""
    return _one(directory(descriptor)[0], _COMPRESSION, 1)


def directory(descriptor: int, below: int = 0) -> tuple[Tags, dict[int, Place]]:
    """The values of the tags that matter here, as far as they can be read, and the places of those that are
    one number. With `below` it is the directory that begins there."""
    tags: Tags = {}
    places: dict[int, Place] = {}
    for entry in entries(descriptor, below):
        tag, kind = entry.tag, entry.kind
        if kind not in _KINDS or (kind in _OFFSETS and tag != _SUB_IFDS):
            continue
        if kind in _FRACTIONS and tag not in _FRACTIONAL:
            continue
        if tag in _NEEDED and tag not in tags:
            tags[tag] = values(descriptor, entry)
            places[tag] = Place(entry.start, entry.order + _KINDS[kind], entry.number)
    return tags, places


def entries(descriptor: int, below: int = 0) -> Iterator[Entry]:
    """The entries of a directory, as far as they can be read."""
    head = os.pread(descriptor, 16, 0)
    order = "<" if head[:1] == b"I" else ">"
    try:
        if struct.unpack_from(order + "H", head, 2)[0] == 43:
            (at,) = struct.unpack_from(order + "Q", head, 8)
            counter, entry = order + "Q", struct.Struct(order + "HHQ8s")
        else:
            (at,) = struct.unpack_from(order + "I", head, 4)
            counter, entry = order + "H", struct.Struct(order + "HHI4s")
        at = below or at
        length = struct.calcsize(counter)
        (count,) = struct.unpack(counter, os.pread(descriptor, length, at))
        found = os.pread(descriptor, min(count, 0xFFFF) * entry.size, at + length)
    except (struct.error, OverflowError, OSError):
        return
    whole = found[: len(found) // entry.size * entry.size]
    for index, (tag, kind, number, value) in enumerate(entry.iter_unpack(whole)):
        yield Entry(tag, kind, number, value, at + length + (index + 1) * entry.size - len(value), order)


def values(descriptor: int, entry: Entry) -> list[float]:
    """The first values of an entry."""
    each = struct.Struct(entry.order + _KINDS[entry.kind])
    found = field(descriptor, entry, each.size * min(entry.number, _MOST_VALUES))
    unpacked = each.iter_unpack(found[: len(found) // each.size * each.size])
    numbers = (value[0] / (value[1] or 1) if len(value) == 2 else value[0] for value in unpacked)
    return [number for number in numbers if math.isfinite(number)]


def whole_numbers(descriptor: int, entry: Entry) -> Iterator[int]:
    """All values of an entry of whole numbers without a sign; none of another one."""
    if entry.kind in _WHOLE:
        each = struct.Struct(entry.order + _KINDS[entry.kind])
        found = field(descriptor, entry, each.size * entry.number)
        for (value,) in each.iter_unpack(found[: len(found) // each.size * each.size]):
            yield value


def field(descriptor: int, entry: Entry, size: int) -> bytes:
    """So many bytes of the values of an entry: they are in it, or where it points to."""
    if size <= len(entry.value):
        return entry.value[:size]
    (at,) = struct.unpack(entry.order + ("Q" if len(entry.value) == 8 else "I"), entry.value)
    return os.pread(descriptor, size, at)
