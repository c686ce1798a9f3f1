"""The image formats that the server stores, and the file extension and media type of each.

This is the only such table in Python; the page has its own in web/src/image.ts.
"""

import re
from typing import Literal, get_args

ImageFormat = Literal["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "HEIF"]
IMAGE_FORMATS: tuple[ImageFormat, ...] = get_args(ImageFormat)

_SIMPLE = re.compile("[A-Za-z0-9]{1,8}")
_NO_ID = re.compile("[^A-Za-z0-9-]")

_EXTENSIONS: dict[str, str] = {"JPEG": "jpg", "TIFF": "tif", "HEIF": "heic"}
"""Of the formats whose extension is not simply their name in lower case."""

_EXTENSIONS_OF_IMAGES = frozenset(
    {"jpg", "jpeg", "jpe", "jfif", "png", "apng", "gif", "webp", "tif", "tiff", "bmp", "dib", "avif", "avifs"}
    | {"heic", "heics", "heif", "heifs", "hif"}
)
"""The extensions that files of these formats have, in lower case."""


def extension(format: str) -> str:
    """The file extension, without a dot. A client may ask for a format that only a newer server knows; what
    cannot be one becomes "bin", since a path is made of it."""
    if not _SIMPLE.fullmatch(format):
        return "bin"
    return _EXTENSIONS.get(format, format.lower())


def file_id(id: str) -> str:
    """An id as a part of a file's name: what is no id becomes harmless."""
    return _NO_ID.sub("_", id) or "_"


def file_name(name: str, format: str, *, converted: bool) -> str:
    """The name under which an image is saved that came from a file of this name. It always ends with the
    extension of an image, so that no program is run by opening it: that of `format` takes the place of
    another one if the image was converted, and is added where there is none of an image."""
    stem, _, found = name.rpartition(".")
    if not (stem and found.lower() in _EXTENSIONS_OF_IMAGES):
        return f"{name}.{extension(format)}"
    return f"{stem}.{extension(format)}" if converted else name


def media_type(format: str) -> str:
    """The media type (https://www.iana.org/assignments/media-types), which always begins with `image/`."""
    return f"image/{format.lower()}"
