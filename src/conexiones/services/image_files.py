"""Images over plain HTTP: what the query of a request asks for. See docs/renditions.md."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from urllib.parse import parse_qsl

from conexiones.domain.gallery import Gallery, etag
from conexiones.domain.renditions import MAX_QUALITY, MAX_SIDE, Renditions, Wanted, resolved
from conexiones.errors import ImageNotFound, InvalidField
from conexiones.image_formats import extension, file_name, media_type
from conexiones.ports.records import ImageRecord
from conexiones.principals import Principal
from conexiones.shares import Caller

NAMES = ("width", "height", "fit", "format", "quality", "animated", "profile", "download")

_ID = re.compile(r"[0-9a-f-]{36}")
_NUMBER = re.compile(r"[0-9]{1,9}")

Read = Callable[[int, int], AsyncGenerator[tuple[int, bytes], None]]


@dataclass(frozen=True, slots=True)
class File:
    """A file to be served. `chosen` says that the client's Accept header decided its format. `id_name` is a
    name of the id and an extension; `name` is made from that of the file it came from, empty if it had none.

    `read` takes an offset and a limit, 0 for none, and gives pieces with their offsets. `content` are all of
    the bytes, if they are in memory.
    """

    id_name: str
    name: str
    content_type: str
    size: int
    etag: str
    attached: bool
    chosen: bool
    read: Read
    content: bytes | None = None


class ImageFiles:
    """Originals and renditions of stored images."""

    def __init__(self, gallery: Gallery, renditions: Renditions) -> None:
        self._gallery = gallery
        self._renditions = renditions

    @asynccontextmanager
    async def open(
        self, image_id: str, query: str, accepted: str, caller: Caller, by: Principal
    ) -> AsyncIterator[File]:
        """The file that a caller asks for, which can be read inside the `async with`. `accepted` is the
        format that the client prefers, or "".

        Raises ImageNotFound, InvalidField with the name of the parameter, NoRendition, ServerBusy.
        """
        if not _ID.fullmatch(image_id):
            raise ImageNotFound(field="id")
        asked = _asked(query, accepted)
        image = await self._gallery.get(image_id, by=by)

        def file(format: str, size: int, sha256: bytes, read: Read, content: bytes | None = None) -> File:
            converted = format != image.format
            return File(
                id_name=f"{image.id}.{extension(format)}",
                name=file_name(image.name, format, converted=converted) if image.name else "",
                content_type=media_type(format),
                size=size,
                etag=etag(sha256),
                attached=asked.attached,
                chosen=asked.chosen,
                read=read,
                content=content,
            )

        if asked.wanted is None:
            read, content = partial(self._gallery.read, image), self._gallery.cached(image)
            yield file(image.format, image.size, image.digest, read, content)
        elif cached := self._renditions.cached(image, asked.wanted):
            rendered, content = cached
            yield file(rendered.format, rendered.size, rendered.sha256, partial(_read, content), content)
        else:
            async with self._renditions.open(image, asked.wanted, caller=caller) as rendition:
                rendered = rendition.rendered
                yield file(rendered.format, rendered.size, rendered.sha256, rendition.read)


def link_options(wanted: Wanted | None, image: ImageRecord, *, download: bool) -> list[tuple[str, str]]:
    """The options of a link to the image, or to exactly one rendition of it. Raises InvalidField."""
    options = [("download", "1")] if download else []
    if wanted is None:
        return options
    recipe = resolved(image, wanted, within="rendition.")
    given = {"width": recipe.width, "height": recipe.height, "quality": recipe.quality}
    options += [(name, str(number)) for name, number in given.items() if number]
    options += [("fit", recipe.fit.lower()), ("format", recipe.format.lower())]
    if recipe.animated:
        options.append(("animated", "1"))
    if recipe.keep_profile:
        options.append(("profile", "keep"))
    return options


async def _read(content: bytes, offset: int, limit: int) -> AsyncGenerator[tuple[int, bytes], None]:
    yield offset, content[offset : offset + limit if limit else None]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a query asks for: as in File, and which rendition, None for the original."""

    attached: bool
    chosen: bool
    wanted: Wanted | None


@lru_cache(maxsize=512)  # of what is asked for often; a query has at most a KiB
def _asked(query: str, accepted: str) -> _Asked:
    """Raises InvalidField."""
    options = _parsed(query)
    attached = _flag(options, "download")
    rendition = bool(options.keys() - {"download"})
    chosen = rendition and options.get("format", "auto") == "auto" and not _flag(options, "animated")
    wanted = _wanted(options, accepted if chosen else "")
    return _Asked(attached, chosen, wanted if rendition else None)


def _parsed(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=len(NAMES)
        )
    except ValueError:
        pairs = [("", "")]
    options = dict(pairs)
    if len(options) < len(pairs) or not options.keys() <= set(NAMES):
        raise InvalidField(field="query", takes=f"{', '.join(NAMES)}, each once")
    return options


def _wanted(options: dict[str, str], accepted: str) -> Wanted:
    format = _word(options, "format", ("auto", "jpeg", "png", "webp", "avif"))
    profile = _word(options, "profile", ("srgb", "keep"))
    return Wanted(
        width=_count(options, "width", MAX_SIDE),
        height=_count(options, "height", MAX_SIDE),
        fit=_word(options, "fit", ("inside", "cover", "contain")).upper(),
        format=accepted if format in ("", "auto") else format.upper(),
        quality=_count(options, "quality", MAX_QUALITY),
        animated=_flag(options, "animated"),
        keep_profile=profile == "keep",
    )


def _count(options: dict[str, str], name: str, most: int) -> int:
    text = options.get(name)
    if text is None:
        return 0
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= most:
        raise InvalidField(field=name, takes=f"1 to {most}")
    return int(text)


def _word(options: dict[str, str], name: str, words: tuple[str, ...]) -> str:
    text = options.get(name)
    if text is None:
        return ""
    if text not in words:
        raise InvalidField(field=name, takes=f"{', '.join(words[:-1])} or {words[-1]}")
    return text


def _flag(options: dict[str, str], name: str) -> bool:
    text = options.get(name, "0")
    if text not in ("0", "1"):
        raise InvalidField(field=name, takes="0 or 1")
    return text == "1"
