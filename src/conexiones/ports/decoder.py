"""Decoding the pixels of images."""

from pathlib import Path
from typing import Protocol

from conexiones.image_formats import ImageFormat
from conexiones.ports.records import Facts, Recipe, Rendered
from conexiones.shares import SERVER, Caller


class Turn(Protocol):
    """The right to have one piece of work done by a decoder. A call of any of its methods uses it up.

    The methods raise NoPreview if the file cannot be decoded, or not within the pixels, the time and the
    memory allowed, and ServerBusy if the work took so long that it had to wait once more. If they are
    cancelled, the work is stopped, and from then on they neither read nor write files by their paths.
    """

    def close(self) -> None:
        """Gives the turn to the next one. Does nothing if it was used."""

    async def preview(self, path: Path, *, format: ImageFormat, side: int) -> bytes:
        """A JPEG in sRGB that fits into side × side pixels, upright, over white where it is transparent.

        It is never larger than the image itself.
        """

    async def describe(self, path: Path, *, format: ImageFormat) -> Facts:
        """What decoding shows of a file."""

    async def render(self, path: Path, into: Path, *, format: ImageFormat, recipe: Recipe) -> Rendered:
        """Makes a rendition and writes it to the new file `into`, not durably.

        Raises StorageFull and StorageUnavailable. The file, or a part of it, may exist after an error;
        removing it is for the caller.
        """


class Decoder(Protocol):
    """Decodes pixels outside of the server's own process. A crash there ends one call only."""

    async def turn(self, *, caller: Caller = SERVER, large: bool = False) -> Turn:
        """Waits until a decoder is free for the caller. Others take turns with it.

        `large` is work of more than a fraction of a second: it never has all decoders. Hold nothing dear
        while waiting. Raises ServerBusy if that takes too long. If it is cancelled, the turn goes to the next
        one.
        """
