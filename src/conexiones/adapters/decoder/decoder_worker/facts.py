"""Facts: what there is to know of an image besides its format and size."""

from collections import Counter
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

_GREEN, _RED = 18, 18**2
_CELLS = 18**3
"""Cells of colours, 16 for each band, and one more at each end so that all have some around them."""

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
        pixels = zip(data[0::4], data[1::4], data[2::4], data[3::4], strict=True)
        seen = [(red, green, blue) for red, green, blue, alpha in pixels if alpha >= 128]
        if seen:
            return seen
        data = bytes(flat.write_to_memory())
    return list(zip(data[0::3], data[1::3], data[2::3], strict=True))


def dominant(colours: list[Colour]) -> Colour:
    """The mean of the largest group of colours that are alike: within a cell of 16³ and those around it, so
    that it matters little where a border between cells is."""
    cells = [
        ((red >> 4) + 1) * _RED + ((green >> 4) + 1) * _GREEN + (blue >> 4) + 1
        for red, green, blue in colours
    ]
    own = Counter(cells)
    around = [0] * _CELLS
    for cell, count in own.items():
        around[cell] = count
    for step in (1, _GREEN, _RED):
        # With those before and after it, along one axis after the other.
        sums = map(sum, zip(around, around[step:], around[2 * step :], strict=False))
        around = [0] * step + list(sums) + [0] * step
    centre = max(own, key=lambda cell: (around[cell], own[cell]))
    near = {
        centre + red + green + blue
        for red in (-_RED, 0, _RED)
        for green in (-_GREEN, 0, _GREEN)
        for blue in (-1, 0, 1)
    }
    group = [colour for colour, cell in zip(colours, cells, strict=True) if cell in near]
    red, green, blue = (round(sum(values) / len(group)) for values in zip(*group, strict=True))
    return red, green, blue
