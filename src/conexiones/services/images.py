"""conexiones.v1.ImageService: see proto/conexiones/v1/images.proto for what each call promises."""

from collections.abc import AsyncIterator
from typing import Any

import google_crc32c
from connectrpc.request import RequestContext

from conexiones.domain.gallery import Filter, Gallery, etag
from conexiones.errors import EtagMismatch
from conexiones.gen.conexiones.v1.images_pb2 import (
    DeleteImageRequest,
    DeleteImageResponse,
    DownloadImageRequest,
    DownloadImageResponse,
    GetImageRequest,
    GetImageResponse,
    Heartbeat,
    ListImagesRequest,
    ListImagesResponse,
    Resync,
    WatchImagesRequest,
    WatchImagesResponse,
)
from conexiones.services.records import image_message, micros

Context = RequestContext[Any, Any]


class ImageService:
    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery

    async def get_image(self, request: GetImageRequest, ctx: Context, /) -> GetImageResponse:
        return GetImageResponse(image=image_message(await self._gallery.get(request.id)))

    async def list_images(self, request: ListImagesRequest, ctx: Context, /) -> ListImagesResponse:
        wanted = Filter(
            user=request.user or None,
            start=micros(request.start_time) if request.HasField("start_time") else None,
            end=micros(request.end_time) if request.HasField("end_time") else None,
        )
        page, token = await self._gallery.page(wanted, size=request.page_size, token=request.page_token)
        return ListImagesResponse(images=map(image_message, page), next_page_token=token)

    async def delete_image(self, request: DeleteImageRequest, ctx: Context, /) -> DeleteImageResponse:
        await self._gallery.delete(request.id)
        return DeleteImageResponse()

    async def download_image(
        self, request: DownloadImageRequest, ctx: Context, /
    ) -> AsyncIterator[DownloadImageResponse]:
        image = await self._gallery.get(request.id)
        if request.if_etag and request.if_etag != etag(image):
            raise EtagMismatch(field="if_etag")
        first: DownloadImageResponse | None = DownloadImageResponse(image=image_message(image))
        async for offset, data in self._gallery.read(image, offset=request.offset, limit=request.limit):
            frame = first or DownloadImageResponse()
            first = None
            frame.offset, frame.data, frame.crc32c = offset, data, google_crc32c.value(data)
            yield frame
        if first:
            first.offset = max(0, image.size + request.offset) if request.offset < 0 else request.offset
            yield first

    async def watch_images(
        self, request: WatchImagesRequest, ctx: Context, /
    ) -> AsyncIterator[WatchImagesResponse]:
        async for event in self._gallery.watch(token=request.resume_token, user=request.user or None):
            reply = WatchImagesResponse(resume_token=event.token)
            match event.kind:
                case "STORED" if event.image:
                    reply.stored.CopyFrom(image_message(event.image))
                case "DELETED":
                    reply.deleted_id = event.deleted_id
                case "RESYNC":
                    reply.resync.CopyFrom(Resync())
                case _:
                    reply.heartbeat.CopyFrom(Heartbeat())
            yield reply
