"""BlurHash, the encoder (https://github.com/woltapp/blurhash/blob/master/Algorithm.md)."""

import math

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"

Colour = tuple[float, float, float]


def blurhash(pixels: bytes, width: int, height: int, across: int, down: int) -> str:
    """The hash of width × height pixels of 8-bit sRGB. It has across × down components, each from 1 to 9.

    The time it takes grows with pixels × components, which should be some ten thousand at most.
    """
    factors = _factors(pixels, width, height, across, down)
    average, rest = factors[0], factors[1:]
    largest = max((abs(value) for factor in rest for value in factor), default=0.0)
    step = max(0, min(82, math.floor(largest * 166 - 0.5)))
    scale = (step + 1) / 166 if rest else 1.0
    text = _digits(across - 1 + (down - 1) * 9, 1) + _digits(step, 1)
    red, green, blue = map(_to_srgb, average)
    text += _digits(red << 16 | green << 8 | blue, 4)
    for factor in rest:
        red, green, blue = (_quantised(value / scale) for value in factor)
        text += _digits(red * 19 * 19 + green * 19 + blue, 2)
    return text


def _factors(pixels: bytes, width: int, height: int, across: int, down: int) -> list[Colour]:
    """The components of a cosine transform in linear light, in rows from the top, each from the left."""
    waves = [[math.cos(math.pi * i * x / width) for x in range(width)] for i in range(across)]
    # The transform is separable: the sums along the rows are taken first, and then those down the columns.
    sums = [[[0.0, 0.0, 0.0] for _ in range(across)] for _ in range(down)]
    for y in range(height):
        row = [_LINEAR[value] for value in pixels[y * width * 3 : (y + 1) * width * 3]]
        bands = (row[0::3], row[1::3], row[2::3])
        for i, wave in enumerate(waves):
            along = [sum(map(float.__mul__, band, wave)) for band in bands]
            for j in range(down):
                weight = math.cos(math.pi * j * y / height)
                total = sums[j][i]
                for k in range(3):
                    total[k] += along[k] * weight
    found = []
    for j in range(down):
        for i in range(across):
            scale = (1 if i == j == 0 else 2) / (width * height)
            red, green, blue = (value * scale for value in sums[j][i])
            found.append((red, green, blue))
    return found


def _linear(value: int) -> float:
    """From 8-bit sRGB (IEC 61966-2-1) to linear light."""
    share = value / 255
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4


_LINEAR = [_linear(value) for value in range(256)]


def _to_srgb(light: float) -> int:
    """From linear light to 8-bit sRGB."""
    share = max(0.0, min(1.0, light))
    value = share * 12.92 if share <= 0.0031308 else 1.055 * share ** (1 / 2.4) - 0.055
    return int(value * 255 + 0.5)


def _quantised(value: float) -> int:
    """From -1 … 1 to 0 … 18, in finer steps near 0."""
    root = math.copysign(abs(value) ** 0.5, value)
    return max(0, min(18, math.floor(root * 9 + 9.5)))


def _digits(value: int, length: int) -> str:
    """A number in base 83."""
    text = ""
    for _ in range(length):
        value, digit = divmod(value, 83)
        text = DIGITS[digit] + text
    return text
