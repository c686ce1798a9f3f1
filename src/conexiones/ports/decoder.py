"""Decoding the pixels of images."""

from pathlib import Path
from typing import Protocol

from conexiones.image_formats import ImageFormat
from conexiones.ports.records import Facts, Recipe, Rendered


class Decoder(Protocol):
    """Decodes pixels outside of the server's own process. A crash there ends one call only."""

    async def preview(self, path: Path, *, format: ImageFormat, side: int) -> bytes:
        """A JPEG in sRGB that fits into side × side pixels, upright, over white where it is transparent.

        It is never larger than the image itself. Raises NoPreview if the file cannot be decoded, or not
        within the pixels, the time and the memory allowed.
        """

    async def describe(self, path: Path, *, format: ImageFormat) -> Facts:
        """What decoding shows of a file. Raises NoPreview as `preview` does."""

    async def render(self, path: Path, into: Path, *, format: ImageFormat, recipe: Recipe) -> Rendered:
        """Makes a rendition and writes it to the new file `into`, not durably.

        Raises NoPreview as `preview` does, StorageFull and StorageUnavailable. The file, or a part of it, may
        exist after an error; removing it is for the caller.
        """
