"""The rules of renditions: what may be asked for, and that each is made once, however many ask."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

from conexiones.domain.images import Limits
from conexiones.domain.ranges import pieces
from conexiones.errors import InvalidField, NoPreview, NoRendition
from conexiones.ports.blobs import Blobs
from conexiones.ports.catalog import Catalog
from conexiones.ports.decoder import Decoder
from conexiones.ports.records import ImageRecord, Recipe, Rendered
from conexiones.ports.renditions import RenditionCache, RenditionFile

FITS = ("INSIDE", "COVER", "CONTAIN")
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF")

MAX_SIDE = 8192
"""Pixels of a width or a height that is asked for."""

MAX_QUALITY = 100
QUALITY = {"JPEG": 80, "PNG": 0, "WEBP": 80, "AVIF": 60}
"""Unless asked for: they look alike at these."""

_OF = {"JPEG": "JPEG", "HEIF": "JPEG", "WEBP": "WEBP", "AVIF": "AVIF"}
"""The format of a rendition of these, unless asked for; of all others PNG, which loses nothing either."""

_MOVING = ("GIF", "WEBP")

_VERSION = b"1"
"""Of how renditions are made: another one forgets those that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A rendition as it is asked for; 0 and "" leave it open. See Rendition in the contract."""

    width: int = 0
    height: int = 0
    fit: str = ""
    format: str = ""
    quality: int = 0
    animated: bool = False
    keep_profile: bool = False


@dataclass(frozen=True, slots=True)
class Rendition:
    """A rendition that can be read, while the `async with` that gave it lasts."""

    rendered: Rendered
    file: RenditionFile

    def read(self, *, offset: int, limit: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """As Gallery.read."""
        return pieces(self.rendered.size, offset, limit, self.file.read)


class Renditions:
    """Makes renditions, and keeps them for a while."""

    def __init__(
        self, catalog: Catalog, blobs: Blobs, decoder: Decoder, cache: RenditionCache, limits: Limits
    ) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._decoder = decoder
        self._cache = cache
        self._limits = limits
        self._flights: dict[tuple[bytes, str], _Flight] = {}

    @asynccontextmanager
    async def open(self, image: ImageRecord, wanted: Wanted, *, within: str = "") -> AsyncIterator[Rendition]:
        """A rendition of a stored image. Raises InvalidField, whose field begins with `within`; NoRendition.

        Who asks for one that another is asking for or reading shares it.
        """
        recipe = resolved(image, wanted, within=within)
        self._check_pixels(image, recipe)
        key = (image.digest, _name(recipe))
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.ensure_future(self._find(image, recipe)))
        flight.passengers += 1
        try:
            # Shielded: who leaves early does not take it from the others.
            file = await asyncio.shield(flight.file)
            yield Rendition(file.rendered, file)
        finally:
            flight.passengers -= 1
            if not flight.passengers:
                del self._flights[key]
                flight.land()

    async def forget(self, digest: bytes) -> None:
        """Drops the renditions of bytes that no image has any longer. To be called after each deletion."""
        if not await self._catalog.has_digest(digest):
            await self._cache.drop(digest)

    async def sweep(self) -> None:
        """Drops what a crash between a deletion and `forget` left."""
        for digest in await self._cache.digests():
            await self.forget(digest)

    async def _find(self, image: ImageRecord, recipe: Recipe) -> RenditionFile:
        name = _name(recipe)
        kept = await self._cache.get(image.digest, name)
        if kept is not None:
            return kept

        async def make(into: Path) -> Rendered:
            async with self._blobs.local(image.digest) as path:
                return await self._decoder.render(path, into, format=image.format, recipe=recipe)

        try:
            made = await self._cache.add(image.digest, name, make)
        except NoPreview as error:
            raise NoRendition(format=image.format, cause=error.facts["cause"]) from error
        # The image may have been deleted meanwhile, and `forget` come too early for this one.
        await self.forget(image.digest)
        return made

    def _check_pixels(self, image: ImageRecord, recipe: Recipe) -> None:
        frames = image.frames if recipe.animated else 1
        limit = self._limits.decode_pixels
        asked = recipe.width * recipe.height if recipe.fit != "INSIDE" else 0
        actual = max(image.width * image.height, asked) * frames
        if actual > limit:
            raise NoRendition(format=image.format, cause="PIXELS", limit=limit, actual=actual, unit="pixels")


class _Flight:
    """A rendition that is being found or read, and how many are waiting for it or reading."""

    def __init__(self, file: "asyncio.Future[RenditionFile]") -> None:
        self.file = file
        self.passengers = 0

    def land(self) -> None:
        if not self.file.done():
            self.file.cancel()
        elif not self.file.cancelled() and not self.file.exception():
            self.file.result().close()


def resolved(image: ImageRecord, wanted: Wanted, *, within: str = "") -> Recipe:
    """What is made of an image when that is wanted. Raises InvalidField."""

    def check(name: str, right: bool, takes: str) -> None:
        if not right:
            raise InvalidField(field=within + name, takes=takes)

    fit = wanted.fit or "INSIDE"
    check("width", 0 <= wanted.width <= MAX_SIDE, f"1 to {MAX_SIDE}")
    check("height", 0 <= wanted.height <= MAX_SIDE, f"1 to {MAX_SIDE}")
    check("fit", fit in FITS, "INSIDE, COVER or CONTAIN")
    check("format", wanted.format in ("", *FORMATS), "JPEG, PNG, WEBP or AVIF")
    if fit != "INSIDE":
        for name in ("width", "height"):
            check(name, getattr(wanted, name) > 0, f"1 to {MAX_SIDE} with the fit {fit}")
    check("animated", not wanted.animated or wanted.format in ("", "WEBP"), "false unless the format is WEBP")
    check("quality", 0 <= wanted.quality <= MAX_QUALITY, f"1 to {MAX_QUALITY}")
    check("quality", not wanted.quality or wanted.format != "PNG", "nothing with the format PNG")
    moves = wanted.animated and image.frames > 1 and image.format in _MOVING
    format = wanted.format or ("WEBP" if moves else _OF.get(image.format, "PNG"))
    width, height = wanted.width, wanted.height
    if fit == "INSIDE" and (not width or width >= image.width) and (not height or height >= image.height):
        width = height = 0  # the same whatever it says, as nothing is enlarged
    return Recipe(
        width=width,
        height=height,
        fit=fit,
        format=format,
        quality=0 if format == "PNG" else wanted.quality or QUALITY[format],
        animated=moves,
        keep_profile=wanted.keep_profile,
    )


def _name(recipe: Recipe) -> str:
    return hashlib.sha256(_VERSION + repr(astuple(recipe)).encode()).hexdigest()[:32]
