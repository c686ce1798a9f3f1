"""Facts: what there is to know of an image besides its format and size."""

from collections import Counter
from itertools import product
from typing import Any

from .blurhash import blurhash
from .loading import File, over_white, rgb

SIDE = 64
"""Pixels of what is looked at, at most, each way."""

SPACES = {
    "b-w": "GREY",
    "grey16": "GREY",
    "cmyk": "CMYK",
    "lab": "LAB",
    "labs": "LAB",
    "labq": "LAB",
}
BITS = {"uchar": 8, "char": 8, "ushort": 16, "short": 16, "float": 32, "uint": 32, "int": 32, "double": 64}

Colour = tuple[int, int, int]


def facts(file: File) -> dict[str, Any]:
    """The fields of the contract's Facts."""
    header = file.header
    image = rgb(file.thumbnail(SIDE, SIDE, size="down")).copy_memory()
    flat = over_white(image)
    small = flat.thumbnail_image(SIDE // 2, height=SIDE // 2, size="down")
    width, height = small.width, small.height
    across, down = (4, 3) if width >= height else (3, 4)
    return {
        "color_space": SPACES.get(header.interpretation, "RGB"),
        "bits_per_sample": _bits(header),
        "has_alpha": header.hasalpha(),
        "dominant_color": "#{:02x}{:02x}{:02x}".format(*dominant(_opaque(image, flat))),
        "blur_hash": blurhash(bytes(small.write_to_memory()), width, height, across, down),
    }


def _bits(header: Any) -> int:
    fields = header.get_fields()
    if "bits-per-sample" in fields and "palette" not in fields:
        return int(header.get("bits-per-sample"))
    return BITS.get(header.format, 8)


def _opaque(image: Any, flat: Any) -> list[Colour]:
    """The colours of the pixels that can be seen; if none can, of all over white."""
    data = bytes(image.write_to_memory())
    if image.bands == 4:
        seen = [
            (data[at], data[at + 1], data[at + 2]) for at in range(0, len(data), 4) if data[at + 3] >= 128
        ]
        if seen:
            return seen
        data = bytes(flat.write_to_memory())
    return [(data[at], data[at + 1], data[at + 2]) for at in range(0, len(data), 3)]


def dominant(colours: list[Colour]) -> Colour:
    """The mean of the largest group of colours that are alike: within a cell of 16³ and those around it, so
    that it matters little where a border between cells is."""
    cells = Counter((red >> 4, green >> 4, blue >> 4) for red, green, blue in colours)
    around = list(product((-1, 0, 1), repeat=3))

    def crowd(cell: Colour) -> tuple[int, int]:
        red, green, blue = cell
        return sum(cells[red + r, green + g, blue + b] for r, g, b in around), cells[cell]

    centre = max(cells, key=crowd)
    group = [
        colour
        for colour in colours
        if all(abs((value >> 4) - middle) <= 1 for value, middle in zip(colour, centre, strict=True))
    ]
    red, green, blue = (round(sum(values) / len(group)) for values in zip(*group, strict=True))
    return red, green, blue
