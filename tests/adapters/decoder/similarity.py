"""Measures of how similar two pictures are."""

import io
from collections.abc import Iterator
from statistics import fmean

from PIL import Image, ImageChops, ImageStat

WINDOW = 8
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def distance(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of the channel that differs most, from 0 to 255."""
    assert (one.mode, one.size) == (other.mode, other.size)
    return max(ImageStat.Stat(ImageChops.difference(one, other)).mean)


def ssim(one: Image.Image, other: Image.Image) -> float:
    """The mean structural similarity (SSIM) of the luminance in windows of 8 × 8; 1 for equal pictures.

    See Wang, Bovik, Sheikh and Simoncelli 2004, equation 13.
    """
    assert one.size == other.size
    grey = one.convert("L"), other.convert("L")
    return fmean(_similarity(*windows) for windows in zip(*map(_windows, grey), strict=True))


def _windows(image: Image.Image) -> Iterator[list[int]]:
    for top in range(0, image.height, WINDOW):
        for left in range(0, image.width, WINDOW):
            box = (left, top, min(left + WINDOW, image.width), min(top + WINDOW, image.height))
            yield list(image.crop(box).tobytes())


def _similarity(one: list[int], other: list[int]) -> float:
    mean, mean2 = fmean(one), fmean(other)
    variance = fmean((value - mean) ** 2 for value in one)
    variance2 = fmean((value - mean2) ** 2 for value in other)
    shared = fmean((a - mean) * (b - mean2) for a, b in zip(one, other, strict=True))
    return ((2 * mean * mean2 + C1) * (2 * shared + C2)) / (
        (mean**2 + mean2**2 + C1) * (variance + variance2 + C2)
    )
