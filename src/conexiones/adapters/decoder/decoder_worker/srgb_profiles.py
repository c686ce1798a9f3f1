"""Whether an ICC profile is that of sRGB: by what it says of colours, and not by its name, which may be any.

Most photographs carry sRGB in one of many versions: HP's of 1998, those of cameras, of LittleCMS, of v2 and
v4. Their samples are right as they are, and converting them costs as much as a tenth of a rendition.
Sources: ICC.1:2022, 7.2, 9.2, 10.6, 10.18 and 10.31; IEC 61966-2-1.
"""

import struct
from functools import lru_cache

MOST_BYTES = 64 << 10
"""Larger profiles than this are none of sRGB: they have tables."""

_MOST_TAGS = 64

_COLORANTS = {
    b"rXYZ": (0.4361, 0.2225, 0.0139),
    b"gXYZ": (0.3851, 0.7169, 0.0971),
    b"bXYZ": (0.1431, 0.0606, 0.7141),
}
"""The primaries of sRGB in CIE XYZ, adapted to the white D50."""

_CURVES = (b"rTRC", b"gTRC", b"bTRC")

_TABLES = (b"A2B", b"B2A", b"D2B", b"B2D")
"""How tags begin that count before colorants and curves."""

_NEAR_COLORANT = 0.001
_NEAR_SAMPLE = 1 / 255

_PARAMETERS = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}
"""Kind of a parametric curve → the number of its parameters."""

Tags = dict[bytes, bytes]


@lru_cache(maxsize=8)
def is_srgb(profile: bytes) -> bool:
    """Whether every 8-bit sample means in this profile what it means in sRGB, to within one level."""
    try:
        return len(profile) <= MOST_BYTES and _is_srgb(profile)
    except (struct.error, ValueError, ArithmeticError):
        return False


def _is_srgb(profile: bytes) -> bool:
    if profile[12:24] != b"mntrRGB XYZ " or profile[36:40] != b"acsp":
        return False
    tags = _tags(profile)
    if any(tag.startswith(_TABLES) or tag == b"cicp" for tag in tags):
        return False
    if not tags.keys() >= {*_COLORANTS, *_CURVES}:
        return False
    return all(_is_near(tags[tag], point) for tag, point in _COLORANTS.items()) and all(
        _is_srgb_curve(curve) for curve in {tags[tag] for tag in _CURVES}
    )


def _tags(profile: bytes) -> Tags:
    """The elements of a profile. Raises struct.error or ValueError."""
    (count,) = struct.unpack_from(">I", profile, 128)
    if count > _MOST_TAGS:
        raise ValueError(count)
    tags: Tags = {}
    for number in range(count):
        tag, at, size = struct.unpack_from(">4sII", profile, 132 + 12 * number)
        if at + size > len(profile) or tag in tags:
            raise ValueError(tag)
        tags[tag] = profile[at : at + size]
    return tags


def _is_near(element: bytes, point: tuple[float, float, float]) -> bool:
    kind, *numbers = struct.unpack_from(">4s4x3i", element)
    found = [number / 65536 for number in numbers]
    return kind == b"XYZ " and all(
        abs(one - other) <= _NEAR_COLORANT for one, other in zip(found, point, strict=True)
    )


def _is_srgb_curve(element: bytes) -> bool:
    light = _table(element) if element[:4] == b"curv" else _parametric(element)
    return all(abs(_sample(light[level]) - level / 255) <= _NEAR_SAMPLE for level in range(256))


def _table(element: bytes) -> list[float]:
    """The light of each of 256 samples. Raises struct.error or ValueError."""
    (count,) = struct.unpack_from(">I", element, 8)
    if count < 2:
        raise ValueError("a gamma")  # which is not the curve of sRGB
    values = struct.unpack_from(f">{count}H", element, 12)
    light = []
    for level in range(256):
        place = level * (count - 1) / 255
        below = min(int(place), count - 2)
        share = place - below
        light.append((values[below] * (1 - share) + values[below + 1] * share) / 65535)
    return light


def _parametric(element: bytes) -> list[float]:
    """The same of a parametric curve. Raises struct.error, ValueError or ArithmeticError."""
    name, kind = struct.unpack_from(">4s4xH", element)
    if name != b"para" or kind not in _PARAMETERS:
        raise ValueError(name)
    numbers = [number / 65536 for number in struct.unpack_from(f">{_PARAMETERS[kind]}i", element, 12)]
    if kind < 3:
        raise ValueError("a curve without a line near black")
    g, a, b, c, d, *rest = numbers
    e, f = rest or (0.0, 0.0)
    levels = [level / 255 for level in range(256)]
    return [max(0.0, a * x + b) ** g + e if x >= d else c * x + f for x in levels]


def _sample(light: float) -> float:
    return light * 12.92 if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055
