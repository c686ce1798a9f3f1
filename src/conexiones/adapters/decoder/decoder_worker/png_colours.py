"""The colours of a PNG without a profile, of which libvips knows nothing: W3C "Portable Network Graphics
(PNG) Specification (Third Edition)", 4.3, 11.3.2 and 13.13.

Of the chunks that say what the samples mean, cICP counts before iCCP, iCCP before sRGB, and sRGB before gAMA
and cHRM. An image that has none of them, or says that it is sRGB, is left as it is.
"""

import os
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import pyvips

from .conversions import Conversion
from .refusals import Refused

Point = tuple[float, float]
Primaries = tuple[Point, Point, Point, Point]
"""The chromaticities of red, green, blue and white."""
Matrix = list[list[float]]
Curve = Callable[[Any], Any]
"""Makes light, from 0 to 1, of an image of samples from 0 to 1."""


class Space(NamedTuple):
    """A colour space."""

    curve: Curve
    primaries: Primaries


_D65: Final = (0.3127, 0.3290)
_SRGB: Final = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65)

# ITU-T H.273, tables 2 and 3.
_PRIMARIES: Final = {
    1: _SRGB,
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
}
_HIGH_RANGE = frozenset({16, 18})

_NEAR_GAMMA = 0.05  # As in libpng: a difference that is not seen.
_NEAR_POINT = 0.002
_LEAST_GAMMA, _MOST_GAMMA = 16, 625_000_000  # As in libpng: other numbers in gAMA are none.
_LEAST_Y = 5e-5  # Likewise. The blue of ProPhoto RGB has 0.0001.
_MOST_CHUNKS = 10_000
_MOST_INTENT = 3
_LENGTHS = {b"cICP": 4, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32}


def conversion(descriptor: int, header: Any) -> Conversion | None:
    """The conversion to sRGB of the image that libvips loads, of which `header` is known. None if there is
    nothing to convert.

    Raises Refused for light of a high range that has no other description.
    """
    chunks = dict(_chunks(descriptor))
    profile = bool(header.get_typeof("icc-profile-data"))
    space = _coded(chunks, described=profile or not chunks.keys().isdisjoint({b"sRGB", b"gAMA"}))
    if space is None and not profile and b"sRGB" not in chunks:
        space = _calibrated(chunks)
    if space is None:
        return None
    if space.curve is _srgb_light and _same_points(space.primaries, _SRGB) and not profile:
        return None
    return Conversion(lambda load: _converted(load(), space))


def _coded(chunks: dict[bytes, bytes], *, described: bool) -> Space | None:
    """What cICP says, if it is sound and known here."""
    code = chunks.get(b"cICP", b"")
    if not code or code[2]:
        return None
    primaries, transfer, _, full = code
    curve = _CURVES.get(transfer)
    if curve and primaries in _PRIMARIES and full:
        return Space(curve, _PRIMARIES[primaries])
    if transfer in _HIGH_RANGE and not described:
        raise Refused("UNSUPPORTED", f"cICP {code.hex()}")
    return None


def _calibrated(chunks: dict[bytes, bytes]) -> Space | None:
    """What gAMA and cHRM say."""
    said = int.from_bytes(chunks.get(b"gAMA", b""))
    gamma = said / 100_000 if _LEAST_GAMMA <= said <= _MOST_GAMMA else 0.0
    points = chunks.get(b"cHRM", b"")
    primaries: Primaries = _SRGB
    if points:
        white, red, green, blue = ((x / 100_000, y / 100_000) for x, y in struct.iter_unpack(">II", points))
        primaries = (red, green, blue, white)
        if not _spans(primaries):
            primaries = _SRGB
    elif not gamma:
        return None
    if not gamma or abs(gamma * 2.2 - 1) < _NEAR_GAMMA:
        return Space(_srgb_light, primaries)
    return Space(lambda samples: samples ** (1 / gamma), primaries)


def _srgb_light(samples: Any) -> Any:
    return (samples <= 0.04045).ifthenelse(samples / 12.92, ((samples + 0.055) / 1.055) ** 2.4)


def _video_light(samples: Any) -> Any:
    """ITU-R BT.709, 1.2, backwards."""
    return (samples < 0.081).ifthenelse(samples / 4.5, ((samples + 0.099) / 1.099) ** (1 / 0.45))


_CURVES: Final[dict[int, Curve]] = {
    **dict.fromkeys((1, 6, 14, 15), _video_light),
    4: lambda samples: samples**2.2,
    5: lambda samples: samples**2.8,
    8: lambda samples: samples,
    13: _srgb_light,
}


def _converted(image: Any, space: Space) -> Any:
    """The image in sRGB with 16 bits, its transparency unchanged."""
    colours = 3 if image.bands >= 3 else 1
    deep = image.format == "ushort"
    most = 65535 if deep else 255
    alpha = image[colours] * (65535 / most) if image.bands > colours else None
    light = space.curve(pyvips.Image.identity(ushort=deep) / most)
    samples = image.extract_band(0, n=colours)
    if colours == 3 and not _same_points(space.primaries, _SRGB):
        samples = samples.maplut(light).recomb(_times(_inverse(_to_xyz(_SRGB)), _adapted(space.primaries)))
        samples, light = (samples * 65535 + 0.5).cast("ushort"), pyvips.Image.identity(ushort=True) / 65535
    made = samples.maplut((_srgb_samples(light) * 65535 + 0.5).cast("ushort"))
    if alpha is not None:
        made = made.bandjoin(alpha.cast("ushort"))
    made = made.copy(interpretation="rgb16" if colours == 3 else "grey16")
    if made.get_typeof("icc-profile-data"):
        made.remove("icc-profile-data")
    return made


def _srgb_samples(light: Any) -> Any:
    return (light <= 0.0031308).ifthenelse(light * 12.92, light ** (1 / 2.4) * 1.055 - 0.055)


def _same_points(ones: Primaries, others: Primaries) -> bool:
    return all(
        abs(one - other) < _NEAR_POINT
        for pair in zip(ones, others, strict=True)
        for one, other in zip(*pair, strict=True)
    )


def _spans(primaries: Primaries) -> bool:
    """Whether the primaries are those of a colour space: a triangle, and no point that is none."""
    (red_x, red_y), (green_x, green_y), (blue_x, blue_y), _ = primaries
    area = (green_x - red_x) * (blue_y - red_y) - (blue_x - red_x) * (green_y - red_y)
    return abs(area) > 1e-3 and all(x + y <= 1 and y >= _LEAST_Y for x, y in primaries)


def _to_xyz(primaries: Primaries) -> Matrix:
    """The matrix from light in these primaries to CIE XYZ (SMPTE RP 177)."""
    columns = [[x / y, 1.0, (1 - x - y) / y] for x, y in primaries]
    white = columns.pop()
    rows = [list(row) for row in zip(*columns, strict=True)]
    amounts = [sum(a * b for a, b in zip(row, white, strict=True)) for row in _inverse(rows)]
    return [[value * amount for value, amount in zip(row, amounts, strict=True)] for row in rows]


def _adapted(primaries: Primaries) -> Matrix:
    """The same, with the white of the primaries made that of sRGB (Bradford)."""
    cone = [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    from_white, to_white = (
        [sum(a * b for a, b in zip(row, (x / y, 1.0, (1 - x - y) / y), strict=True)) for row in cone]
        for x, y in (primaries[3], _D65)
    )
    scaled = [[(to_white[i] / from_white[i]) * value for value in cone[i]] for i in range(3)]
    return _times(_times(_inverse(cone), scaled), _to_xyz(primaries))


def _times(one: Matrix, other: Matrix) -> Matrix:
    columns = list(zip(*other, strict=True))
    return [[sum(a * b for a, b in zip(row, column, strict=True)) for column in columns] for row in one]


def _inverse(matrix: Matrix) -> Matrix:
    """The inverse of a matrix of 3 × 3 by its cofactors."""
    (a, b, c), (d, e, f), (g, h, i) = matrix
    determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    cofactors = [
        [e * i - f * h, c * h - b * i, b * f - c * e],
        [f * g - d * i, a * i - c * g, c * d - a * f],
        [d * h - e * g, b * g - a * h, a * e - b * d],
    ]
    return [[value / determinant for value in row] for row in cofactors]


def _chunks(descriptor: int) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of interest before the pixels: of each type the first that is sound."""
    position, seen = 8, set[bytes]()
    for _ in range(_MOST_CHUNKS):
        start = os.pread(descriptor, 8 + 32 + 4, position)
        length, kind = int.from_bytes(start[:4]), start[4:8]
        if kind in (b"IDAT", b"IEND", b""):
            return
        data, crc = start[8 : 8 + length], start[8 + length : 12 + length]
        sound = length == _LENGTHS.get(kind) and zlib.crc32(kind + data) == int.from_bytes(crc)
        if sound and kind not in seen and not (kind == b"sRGB" and data[0] > _MOST_INTENT):
            seen.add(kind)
            yield kind, data
        position += 12 + length
