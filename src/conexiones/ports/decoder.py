"""The decoder of pixels."""

from pathlib import Path
from typing import Protocol

from conexiones.ports.records import Facts, Recipe, Rendered


class Decoder(Protocol):
    """Decodes pixels, away from the server's own process."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def preview(self, path: Path, *, format: str, side: int) -> bytes:
        """A JPEG in sRGB that fits into side × side pixels, upright, over white where transparent.

        Never larger than the image itself. Raises NoPreview if the file cannot be decoded, or not
        within the time and memory allowed; a crash of the decoder ends this call only.
        """

    async def describe(self, path: Path, *, format: str) -> Facts:
        """What decoding shows of a file. Raises NoPreview as `preview` does."""

    async def render(self, path: Path, into: Path, *, format: str, recipe: Recipe) -> Rendered:
        """Makes a rendition and writes it to the new file `into`, not durably. Raises NoPreview as `preview`
        does, StorageFull and StorageUnavailable; the file may be there all the same, in part."""
