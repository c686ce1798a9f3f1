"""The facts of an image: what decoding shows of it, besides its format and size."""

from collections import Counter
from typing import Any

from .blurhash import blurhash
from .loading import File, over_white, rgb

SIDE = 64
"""Colours are taken from a thumbnail of at most this many pixels each way."""

SPACES = {
    "b-w": "GREY",
    "grey16": "GREY",
    "cmyk": "CMYK",
    "lab": "LAB",
    "labs": "LAB",
    "labq": "LAB",
}
"""Interpretation of libvips → colour space. All others count as RGB."""

BITS = {"uchar": 8, "char": 8, "ushort": 16, "short": 16, "float": 32, "uint": 32, "int": 32, "double": 64}
"""Band format of libvips → bits per sample, where the file does not say."""

_GREEN, _RED = 18, 18**2
_CELLS = 18**3
"""Cells of colours: 16 for each band, and one more at each end, so that every cell has neighbours."""

Colour = tuple[int, int, int]


def facts(file: File) -> dict[str, Any]:
    """The fields of Facts in conexiones.v1."""
    header = file.header
    image = rgb(file.thumbnail(SIDE, SIDE, size="down")).copy_memory()
    file.check()
    flat = over_white(image)
    small = flat.thumbnail_image(SIDE // 2, height=SIDE // 2, size="down")
    width, height = small.width, small.height
    across, down = (4, 3) if width >= height else (3, 4)
    return {
        "color_space": SPACES.get(header.interpretation, "RGB"),
        "bits_per_sample": _bits(header),
        "has_alpha": image.hasalpha(),
        "dominant_color": "#{:02x}{:02x}{:02x}".format(*dominant(_opaque(image, flat))),
        "blur_hash": blurhash(bytes(small.write_to_memory()), width, height, across, down),
    }


def _bits(header: Any) -> int:
    # Not by `get_fields`: the names of comments need not be UTF-8.
    if header.get_typeof("bits-per-sample") and not header.get_typeof("palette"):
        return int(header.get("bits-per-sample"))
    return BITS.get(header.format, 8)


def _opaque(image: Any, flat: Any) -> list[Colour]:
    """The colours of the pixels that can be seen. If none can be seen, those of all pixels over white."""
    data = bytes(image.write_to_memory())
    if image.bands == 4:
        pixels = zip(data[0::4], data[1::4], data[2::4], data[3::4], strict=True)
        seen = [(red, green, blue) for red, green, blue, alpha in pixels if alpha >= 128]
        if seen:
            return seen
        data = bytes(flat.write_to_memory())
    return list(zip(data[0::3], data[1::3], data[2::3], strict=True))


def dominant(colours: list[Colour]) -> Colour:
    """The mean of the largest group of similar colours.

    A group is what falls into one of 16³ cells and the cells around it, so that it matters little where the
    borders between cells are.
    """
    cells = [
        ((red >> 4) + 1) * _RED + ((green >> 4) + 1) * _GREEN + (blue >> 4) + 1
        for red, green, blue in colours
    ]
    own = Counter(cells)
    around = [0] * _CELLS
    for cell, count in own.items():
        around[cell] = count
    for step in (1, _GREEN, _RED):
        # Adds to every cell its two neighbours along one axis. After all three axes it has those of 27 cells.
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
