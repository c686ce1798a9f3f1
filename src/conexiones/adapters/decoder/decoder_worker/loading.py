"""Files become small images in memory, within the limits: what every task begins with."""

import re
from typing import Any

import pyvips

LOADERS = {
    "JPEG": "Jpeg",
    "PNG": "Png",
    "GIF": "Nsgif",
    "WEBP": "Webp",
    "TIFF": "Tiff",
    "AVIF": "Heif",
    "HEIF": "Heif",
}

ANY = 10_000_000
"""A width or height that limits nothing: the largest that libvips has."""

OUT_OF_MEMORY = re.compile(r"memory|alloc|no space", re.IGNORECASE)
UNSUPPORTED = re.compile(r"not supported|unsupported|not configured|plugin|not implemented", re.IGNORECASE)

# libjpeg calls both a lost half of the picture and a stray byte between two segments a warning. These are
# the ones after which pixels are missing (jerror.h of libjpeg-turbo); the others are common in photographs.
DAMAGED_JPEG = re.compile(
    r"premature end|bad Huffman code|bad arithmetic code|instead of RST|before marker 0xd[0-7]"
)


class Refused(Exception):
    """It cannot be done. Holds the cause and the text for the log."""


def refusal(text: str) -> Refused:
    """The cause that a library's text speaks of."""
    if OUT_OF_MEMORY.search(text):
        return Refused("MEMORY", text)
    return Refused("UNSUPPORTED" if UNSUPPORTED.search(text) else "CORRUPT", text)


def check_pixels(width: int, height: int, limit: int) -> None:
    if width * height > limit:
        raise Refused("PIXELS", f"{width} × {height}")


def allow_only_known_loaders() -> None:
    pyvips.operation_block_set("VipsForeignLoad", True)
    for name in LOADERS.values():
        pyvips.operation_block_set(f"VipsForeignLoad{name}", False)
    pyvips.block_untrusted_set(True)
    pyvips.cache_set_max(0)


class File:
    """An image file of a format, none of whose pixels are read yet.

    `path` must not have a name that a stranger chose: libraries repeat it in what they say. Of `animated`
    files all frames are read, below each other; otherwise the first. `strict` is for JPEG: see
    `worth_another`. Raises Refused if there are more than `limit` pixels, MemoryError, and pyvips.Error.
    """

    def __init__(
        self, path: str, format: str, limit: int, *, animated: bool = False, strict: bool = False
    ) -> None:
        self._path = path
        self._format = format
        self._strict = strict
        self.frames = 1
        self._bitmap: Any = None
        if format == "BMP":
            self._bitmap = self.header = _bitmap(path, limit)
            return
        if format not in LOADERS:
            raise Refused("UNSUPPORTED", format)
        source = pyvips.Source.new_from_file(path)
        self.header = pyvips.Image.new_from_source(source, "", access="sequential")
        if animated and "n-pages" in self.header.get_fields():
            self.frames = self.header.get("n-pages")
        check_pixels(self.header.width, self.header.height * self.frames, limit)

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height of one frame, as a person sees it."""
        width, height = self.header.width, self.header.height
        turned = "orientation" in self.header.get_fields() and self.header.get("orientation") >= 5
        return (height, width) if turned else (width, height)

    def thumbnail(self, width: int, height: int, *, srgb: bool = True, **how: Any) -> Any:
        """The image scaled into width × height, upright; `how` are more options of libvips' thumbnail.

        Its pixels are read when they are needed, once and from top to bottom; only then shows what is
        wrong with them.
        """
        if srgb:
            how["output_profile"] = "srgb"
        if self._bitmap is not None:
            return self._bitmap.thumbnail_image(width, height=height, **how)
        options = "fail_on=warning" if self._strict else "fail_on=error"
        if self._format == "TIFF":
            # libtiff's own limit, 50 MiB, refuses large scans that are one strip. Ours takes its place.
            options += ",unlimited"
        if self.frames > 1:
            options += ",n=-1"
        # From a source, because `thumbnail` would take what follows a bracket in a file name as options.
        # `thumbnail_source` forgets its own argument `fail_on` (libvips 8.18), so it goes to the loader.
        return pyvips.Image.thumbnail_source(
            pyvips.Source.new_from_file(self._path), width, height=height, option_string=options, **how
        )


def worth_another(error: str) -> bool:
    """Whether a JPEG that failed when it was read strictly has all its pixels: it can be read leniently."""
    return not DAMAGED_JPEG.search(error)


def _bitmap(path: str, limit: int) -> Any:
    """BMP goes through Pillow: this libvips has no loader for it."""
    # Loaded here, because few servers ever see a BMP.
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # our own limit is checked instead
    try:
        with Image.open(path, formats=["BMP"]) as file:
            check_pixels(*file.size, limit)
            image = file.convert("RGBA" if file.has_transparency_data else "RGB")
    except (Refused, MemoryError):
        raise
    except Exception as error:  # its parsers let anything through: struct.error, IndexError, SyntaxError
        raise refusal(repr(error)) from error
    whole = pyvips.Image.new_from_memory(image.tobytes(), *image.size, len(image.mode), "uchar")
    return whole.copy(interpretation="srgb")


def rgb(image: Any) -> Any:
    """Any image in 8-bit sRGB, three bands, and a fourth where it has transparency."""
    image = image.colourspace("srgb")
    most = 4 if image.hasalpha() else 3
    if image.bands > most:
        image = image.extract_band(0, n=3)
    return image.cast("uchar")


def over_white(image: Any) -> Any:
    """An image of `rgb` without transparency."""
    return image.flatten(background=255) if image.hasalpha() else image
