"""The rules of renditions: what may be asked for, and that each is made once, however many clients ask.

Requests share a rendition that is being made, and a kept one, in the memory and the cache of their server.
Each server that is asked for a rendition makes it once.
"""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Final, get_args

from conexiones.domain.decoding import JUDGE, Flights, is_large, local_file
from conexiones.domain.images import Limits, refuse_deleted
from conexiones.domain.ranges import pieces
from conexiones.errors import BlobCorrupt, InvalidField, NoPreview, NoRendition
from conexiones.image_formats import ImageFormat
from conexiones.ports.blobs import Blobs
from conexiones.ports.catalog import Catalog
from conexiones.ports.decoder import Decoder, Turn
from conexiones.ports.records import Fit, ImageRecord, Recipe, Rendered, RenditionFormat
from conexiones.ports.renditions import CachedRendition, RenditionCache, RenditionFile
from conexiones.shares import SERVER, Caller
from conexiones.tracing import span

FITS: Final[dict[str, Fit]] = {fit: fit for fit in get_args(Fit)}
FORMATS: Final[dict[str, RenditionFormat]] = {format: format for format in get_args(RenditionFormat)}
"""The words that a request may use, by themselves."""

MAX_SIDE = 8192
"""The most pixels of a width or a height that is asked for."""

MAX_QUALITY = 100
QUALITY: Final[dict[RenditionFormat, int]] = {"JPEG": 80, "PNG": 0, "WEBP": 80, "AVIF": 60}
"""The quality if the request names none. Images look about equally good at these."""

_FORMAT_OF: Final[dict[ImageFormat, RenditionFormat]] = {
    "JPEG": "JPEG",
    "HEIF": "JPEG",
    "WEBP": "WEBP",
    "AVIF": "AVIF",
}
"""Image format → format of its rendition if the request names none. For others it is PNG, as lossless."""

_ANIMATED = ("GIF", "WEBP", "AVIF")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A rendition as a client asks for it, not checked yet; 0 and "" leave the choice to the server.

    See Rendition in the contract.
    """

    width: int = 0
    height: int = 0
    fit: str = ""
    format: str = ""
    quality: int = 0
    animated: bool = False
    keep_profile: bool = False


@dataclass(frozen=True, slots=True)
class Rendition:
    """A rendition that can be read inside the `async with` that gave it."""

    rendered: Rendered
    file: RenditionFile

    def read(self, offset: int, limit: int) -> AsyncGenerator[tuple[int, bytes], None]:
        """The bytes of a range, as Gallery.read gives them."""
        return pieces(self.rendered.size, offset, limit, self.file.read)


class Renditions:
    """Makes renditions, and keeps them as long as the cache has room."""

    def __init__(
        self, catalog: Catalog, blobs: Blobs, decoder: Decoder, cache: RenditionCache, limits: Limits
    ) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._cache = cache
        self._limits = limits
        self._flights: Flights[RenditionFile] = Flights(decoder, dropped=lambda file: file.close())
        self._forgotten = 0  # how often `forget` was called

    def cached(self, image: ImageRecord, wanted: Wanted, *, within: str = "") -> CachedRendition | None:
        """A rendition of a stored image if it is in memory. Raises InvalidField and NoRendition."""
        recipe = resolved(image, wanted, within=within)
        self._check_pixels(image, recipe)
        return self._cache.cached(image.digest, _name(recipe))

    @asynccontextmanager
    async def open(
        self, image: ImageRecord, wanted: Wanted, *, within: str = "", caller: Caller = SERVER
    ) -> AsyncIterator[Rendition]:
        """A rendition of a stored image.

        Raises NoRendition, ServerBusy, BlobCorrupt, ImageNotFound if the image has just been deleted, and
        InvalidField, whose field begins with `within`. Calls for the same
        rendition share it while it is being made or read.
        """
        recipe = resolved(image, wanted, within=within)
        self._check_pixels(image, recipe)
        name = _name(recipe)
        async with self._flights.join(
            (image.digest, name),
            partial(self._cache.get, image.digest, name),
            partial(self._make, image, recipe),
            caller=caller,
            large=is_large(image, recipe),
        ) as file:
            yield Rendition(file.rendered, file)

    async def forget(self, digest: bytes) -> None:
        """Drops the renditions of bytes that no image has any longer. Call it after each deletion."""
        self._forgotten += 1
        if not await self._catalog.has_digest(digest):
            await self._cache.drop(digest)

    async def sweep(self) -> None:
        """Drops the renditions that a crash between a deletion and `forget` left. Call it at intervals."""
        for digest in await self._cache.digests():
            await self.forget(digest)

    async def _make(self, image: ImageRecord, recipe: Recipe, turn: Turn) -> RenditionFile:
        async def make(into: Path) -> Rendered:
            async with local_file(self._blobs, image) as path:
                return await turn.render(path, into, format=image.format, recipe=recipe)

        forgotten = self._forgotten
        try:
            with span("rendition", format=recipe.format, width=recipe.width, height=recipe.height):
                made = await self._cache.add(image.digest, _name(recipe), make)
        except NoPreview as error:
            raise NoRendition(format=image.format, cause=error.cause) from error
        except BlobCorrupt:
            await refuse_deleted(self._catalog, image)
            raise
        if forgotten != self._forgotten:
            # Perhaps for this image, before this rendition was there. If it was deleted before that, there
            # were no bytes to make it of, but for those of an upload under way, which `sweep` sees to.
            try:
                await self.forget(image.digest)
            except BaseException:
                made.close()
                raise
        return made

    def _check_pixels(self, image: ImageRecord, recipe: Recipe) -> None:
        frames = image.frames if recipe.animated else 1
        limit = self._limits.decode_pixels
        asked = recipe.width * recipe.height if recipe.fit != "INSIDE" else 0
        actual = max(image.width * image.height, asked) * frames
        if actual > limit:
            raise NoRendition(format=image.format, cause="PIXELS", limit=limit, actual=actual, unit="pixels")


def resolved(image: ImageRecord, wanted: Wanted, *, within: str = "") -> Recipe:
    """What has to be made of an image when that is asked for. Raises InvalidField."""

    def check(name: str, right: bool, takes: str) -> None:
        if not right:
            raise InvalidField(field=within + name, takes=takes)

    fit = FITS.get(wanted.fit or "INSIDE")
    asked = FORMATS.get(wanted.format)
    check("width", 0 <= wanted.width <= MAX_SIDE, f"1 to {MAX_SIDE}")
    check("height", 0 <= wanted.height <= MAX_SIDE, f"1 to {MAX_SIDE}")
    if fit is None:
        raise InvalidField(field=f"{within}fit", takes=_one_of([*FITS]))
    check("format", not wanted.format or asked is not None, _one_of([*FORMATS]))
    if fit != "INSIDE":
        for name in ("width", "height"):
            check(name, getattr(wanted, name) > 0, f"1 to {MAX_SIDE} with the fit {fit}")
    check("animated", not wanted.animated or wanted.format in ("", "WEBP"), "false unless the format is WEBP")
    check("quality", 0 <= wanted.quality <= MAX_QUALITY, f"1 to {MAX_QUALITY}")
    check("quality", not wanted.quality or wanted.format != "PNG", "nothing with the format PNG")
    animated = wanted.animated and image.frames > 1 and image.format in _ANIMATED
    format = asked or ("WEBP" if animated else _FORMAT_OF.get(image.format, "PNG"))
    width, height = wanted.width, wanted.height
    if fit == "INSIDE" and (not width or width >= image.width) and (not height or height >= image.height):
        width = height = 0  # nothing is enlarged, so it is the same rendition as without a size
    return Recipe(
        width=width,
        height=height,
        fit=fit,
        format=format,
        quality=0 if format == "PNG" else wanted.quality or QUALITY[format],
        animated=animated,
        keep_profile=wanted.keep_profile,
    )


def _one_of(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _name(recipe: Recipe) -> str:
    """The name under which a rendition is kept. Those that another JUDGE made are not found."""
    return _name_by(JUDGE, recipe)


@lru_cache(maxsize=1024)
def _name_by(judge: int, recipe: Recipe) -> str:
    return hashlib.sha256(f"{judge}{astuple(recipe)!r}".encode()).hexdigest()[:32]
