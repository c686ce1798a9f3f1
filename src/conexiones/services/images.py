"""conexiones.v1.ImageService: see proto/conexiones/v1/images.proto for what each call promises."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, nullcontext
from typing import Any

import google_crc32c

from conexiones.domain.access import LINK_SECONDS, Links
from conexiones.domain.describing import Describing
from conexiones.domain.gallery import Filter, Gallery, etag
from conexiones.domain.ranges import span
from conexiones.domain.renditions import Renditions, Wanted
from conexiones.domain.watching import Watching
from conexiones.errors import EtagMismatch, InvalidField
from conexiones.gen.conexiones.v1.images_pb2 import (
    DeleteImageRequest,
    DeleteImageResponse,
    DownloadImageRequest,
    DownloadImageResponse,
    GetImageRequest,
    GetImageResponse,
    Image,
    ListImagesRequest,
    ListImagesResponse,
    Rendition,
    SignImageUrlRequest,
    SignImageUrlResponse,
    WatchImagesRequest,
    WatchImagesResponse,
)
from conexiones.ports.records import ImageRecord
from conexiones.principals import Principal
from conexiones.services.access_messages import seconds
from conexiones.services.context import Context
from conexiones.services.image_files import link_options
from conexiones.services.messages import image_message, micros, rendition_message, timestamp
from conexiones.services.payload import Shared, WithPayload
from conexiones.services.reports import Reports
from conexiones.shares import Turns

_PART = 100
"""Images of a page that are put into its message before other calls get their turn."""

_PAGES = 2
"""Pages that are made at a time, one of each client, of those that take long: the ones of more images take
the event loop, and those by name may read all images."""

Pieces = AsyncIterator[tuple[int, bytes]]


class ImageService:
    def __init__(
        self,
        gallery: Gallery,
        watching: Watching,
        renditions: Renditions,
        describing: Describing,
        links: Links,
    ) -> None:
        self._gallery = gallery
        self._watching = watching
        self._renditions = renditions
        self._describing = describing
        self._links = links
        self._reports = Reports()
        self._pages = Turns(_PAGES, each=1)

    async def get_image(self, request: GetImageRequest, call: Context, /) -> GetImageResponse:
        image = await self._gallery.get(request.id, by=call.principal)
        return GetImageResponse(image=await self._message(image, call.principal))

    async def list_images(self, request: ListImagesRequest, call: Context, /) -> ListImagesResponse:
        wanted = Filter(
            user=request.user or None,
            start=micros(request.start_time, field="start_time") if request.HasField("start_time") else None,
            end=micros(request.end_time, field="end_time") if request.HasField("end_time") else None,
            name=request.name or None,
            digests=request.sha256,
            owner=request.owner or None,
        )
        takes_long = request.page_size > _PART or wanted.name
        async with self._pages if takes_long else nullcontext():
            page, token = await self._gallery.page(
                wanted, size=request.page_size, token=request.page_token, by=call.principal
            )
            facts = await self._describing.known(page)
            reply = ListImagesResponse(next_page_token=token)
            for start in range(0, len(page), _PART):
                reply.images.extend(
                    image_message(image, facts, by=call.principal) for image in page[start : start + _PART]
                )
                await asyncio.sleep(0)
        return reply

    async def sign_image_url(self, request: SignImageUrlRequest, call: Context, /) -> SignImageUrlResponse:
        image = await self._gallery.get(request.id, by=call.principal)
        wanted = _wanted(request.rendition) if request.HasField("rendition") else None
        options = link_options(wanted, image, download=request.download)
        link = await self._links.sign(
            call.principal,
            f"/images/{image.id}",
            options,
            seconds=seconds(request.ttl, field="ttl") if request.HasField("ttl") else LINK_SECONDS,
        )
        call.changed("link.signed", image.id)
        return SignImageUrlResponse(path=link.path, expire_time=timestamp(link.expires * 1_000_000))

    async def delete_image(self, request: DeleteImageRequest, call: Context, /) -> DeleteImageResponse:
        await self._gallery.delete(request.id, by=call.principal)
        call.changed("image.deleted", request.id)
        return DeleteImageResponse()

    async def download_image(
        self, request: DownloadImageRequest, call: Context, /
    ) -> AsyncIterator[DownloadImageResponse | WithPayload]:
        image = await self._gallery.get(request.id, by=call.principal)
        first = DownloadImageResponse(image=await self._message(image, call.principal))
        if not request.HasField("rendition"):
            pieces = self._gallery.read(image, offset=request.offset, limit=request.limit)
            async for frame in _frames(request, first, image.digest, image.size, pieces):
                yield frame
            return
        async with self._renditions.open(
            image, _wanted(request.rendition), within="rendition.", caller=call.caller
        ) as rendition:
            rendered = rendition.rendered
            first.rendition.CopyFrom(rendition_message(rendered))
            pieces = rendition.read(offset=request.offset, limit=request.limit)
            async for frame in _frames(request, first, rendered.sha256, rendered.size, pieces):
                yield frame

    async def watch_images(
        self, request: WatchImagesRequest, call: Context, /
    ) -> AsyncIterator[WatchImagesResponse | Shared]:
        most = request.max_events
        if most < 0:
            raise InvalidField(field="max_events", takes="0 or more")
        watch = self._watching.watch(
            token=request.resume_token,
            user=request.user or None,
            owner=request.owner or None,
            by=call.principal,
        )
        async with aclosing(watch) as all_news:
            async for news in all_news:
                for reply in self._reports.replies(news, most, by=call.principal):
                    yield reply

    async def _message(self, image: ImageRecord, by: Principal) -> Image:
        return image_message(image, await self._describing.known([image]), by=by)


async def _frames(
    request: DownloadImageRequest, first: DownloadImageResponse, sha256: bytes, size: int, pieces: Pieces
) -> AsyncIterator[DownloadImageResponse | WithPayload]:
    """The replies of a download. `pieces` are of a file with that SHA-256 and size; `first` is the first
    reply without its piece."""
    if request.if_etag and request.if_etag != etag(sha256):
        raise EtagMismatch(field="if_etag")
    frame = first
    frame.offset, _ = span(size, request.offset, request.limit)
    empty = True
    async for offset, data in pieces:
        frame.offset, frame.crc32c = offset, google_crc32c.value(data)
        reply = WithPayload(frame, data)
        del data
        yield reply
        del reply
        frame, empty = DownloadImageResponse(), False
    if empty:
        yield frame


def _wanted(rendition: Rendition) -> Wanted:
    return Wanted(
        width=rendition.width,
        height=rendition.height,
        fit=_name(Rendition.Fit, rendition.fit, "FIT_"),
        format=_name(Rendition.Format, rendition.format, "FORMAT_"),
        quality=rendition.quality,
        animated=rendition.animated,
        keep_profile=rendition.keep_profile,
    )


def _name(enum: Any, value: int, prefix: str) -> str:
    """The domain's name of a value of an enum, "" if it is not set. A value without a name becomes its number
    as text, which the domain refuses."""
    if not value:
        return ""
    return str(enum.Name(value)).removeprefix(prefix) if value in enum.values() else str(value)
