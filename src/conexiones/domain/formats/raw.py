"""Raw images of cameras whose files are TIFF: Adobe "Digital Negative 1.7", and TIFF/EP (ISO 12234-2).

Their first directory often describes a thumbnail, which is not the image. The samples of a sensor need more
than a reader of TIFF to become a picture.
"""

from collections.abc import Callable, Container
from typing import Final

from conexiones.errors import UnsupportedFormat

PHOTOMETRIC, MAKE, DNG_VERSION = 262, 271, 50706
TAGS: Final = frozenset({PHOTOMETRIC, MAKE, DNG_VERSION})
"""The tags that are looked at."""

_COLOUR_FILTER_ARRAY, _LINEAR_RAW = 32803, 34892

_FORMATS = {
    b"NIKON": "Nikon NEF",
    b"SONY": "Sony ARW",
    b"PENTAX": "Pentax PEF",
    b"RICOH": "Pentax PEF",
    b"SAMSUNG": "Samsung SRW",
    b"HASSELBLAD": "Hasselblad 3FR",
    b"EPSON": "Epson ERF",
    b"SEIKO EPSON": "Epson ERF",
    b"KODAK": "Kodak DCR",
    b"EASTMAN KODAK": "Kodak DCR",
}
"""What begins the maker's name in capitals → the format."""


class Camera:
    """Looks at the directories of one file in their order. The first one names the maker."""

    __slots__ = ("_make",)

    def __init__(self) -> None:
        self._make = b""

    def look(self, tags: Container[int], number: Callable[[int], int], text: Callable[[int], bytes]) -> None:
        """Raises UnsupportedFormat where a directory with these tags is that of a raw image. `number` and
        `text` give the value of a tag, 0 or nothing where it has none."""
        if DNG_VERSION in tags:
            raise UnsupportedFormat(format="DNG")
        if MAKE in tags and not self._make:
            self._make = text(MAKE).upper()
        if PHOTOMETRIC in tags and number(PHOTOMETRIC) in (_COLOUR_FILTER_ARRAY, _LINEAR_RAW):
            named = (name for start, name in _FORMATS.items() if self._make.startswith(start))
            raise UnsupportedFormat(format=next(named, "RAW"))
