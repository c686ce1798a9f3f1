"""Images whose pixels libvips loads as they are stored, and takes for something else than they are."""

from collections.abc import Callable
from typing import Any, NamedTuple

Load = Callable[[], Any]
"""Gives the image as libvips loads it, its pixels to be read once from top to bottom."""

Convert = Callable[[Load], Any]
"""Gives the image that is meant. May raise Refused."""


class Conversion(NamedTuple):
    """What makes the image that is meant of a file that libvips loads wrongly: `data` instead of those of the
    file, if there are any, and `convert`. `interpretation` is what libvips would call it."""

    convert: Convert
    data: bytes | None = None
    interpretation: str = ""
