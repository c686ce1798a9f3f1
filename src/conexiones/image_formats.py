"""The image formats that the server stores, and the file extension and media type of each.

This is the only such table in Python; the page has its own in web/src/image.ts.
"""

from typing import Literal

ImageFormat = Literal["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "HEIF"]

_EXTENSIONS: dict[str, str] = {"JPEG": "jpg", "TIFF": "tif", "HEIF": "heic"}
"""Of the formats whose extension is not simply their name in lower case."""


def extension(format: str) -> str:
    """The file extension, without a dot. A client may ask for a format that only a newer server knows."""
    return _EXTENSIONS.get(format, format.lower())


def media_type(format: str) -> str:
    """The media type (https://www.iana.org/assignments/media-types), which always begins with `image/`."""
    return f"image/{format.lower()}"
