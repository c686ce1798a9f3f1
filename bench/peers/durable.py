"""A peer: grpc.aio with uvloop, doing the same durable work with our own services and store.

What differs is the transport alone. `python -m bench.peers.durable`, with the server's settings.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import uvloop

from conexiones.adapters.decoder import VipsDecoder
from conexiones.adapters.files import FileBlobs
from conexiones.adapters.sqlite import SqliteCatalog
from conexiones.domain.facts import Describing
from conexiones.domain.images import Images, Limits
from conexiones.domain.users import Users
from conexiones.gen.user_pb2 import GetImage, GetImageReply, GetUserReply, GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioServicer, add_UsuarioServicioServicer_to_server
from conexiones.services.usuario import UsuarioService
from conexiones.settings import Settings


class Servicer(UsuarioServicioServicer):
    """The calls that are compared, handed on."""

    def __init__(self, service: UsuarioService) -> None:
        self._service = service

    async def GetUser(self, request: GetUserRequest, context: Any) -> GetUserReply:  # noqa: N802
        return await self._service.get_user(request, context)

    async def GetStreamImage(self, requests: AsyncIterator[GetImage], context: Any) -> GetUserReply:  # noqa: N802
        return await self._service.get_stream_image(requests, context)

    async def ImageStreamReply(  # noqa: N802
        self, requests: AsyncIterator[GetImage], context: Any
    ) -> AsyncIterator[GetImageReply]:
        async for reply in self._service.image_stream_reply(requests, context):
            yield reply


async def main() -> None:
    settings = Settings.load()
    catalog = SqliteCatalog(settings.data_dir / "catalog.sqlite3")
    blobs = FileBlobs(settings.data_dir)
    decoder = VipsDecoder(  # never opened: nothing that is compared decodes
        workers=settings.decode_workers,
        decode_pixels=settings.decode_pixels,
        decode_seconds=settings.decode_seconds,
        decode_memory=settings.decode_memory,
    )
    limits = Limits(
        max_image_bytes=settings.max_image_bytes,
        max_pixels=settings.max_pixels,
        decode_pixels=settings.decode_pixels,
        decode_seconds=settings.decode_seconds,
    )
    images = Images(catalog, blobs, decoder, limits)
    describing = Describing(catalog, catalog, blobs, prompt=decoder, quiet=decoder, limits=limits)
    service = UsuarioService(Users(catalog, images), images, describing)
    await catalog.open()
    await blobs.open(catalog)
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", settings.max_message_bytes)])
    add_UsuarioServicioServicer_to_server(Servicer(service), server)
    port = server.add_insecure_port(settings.address)
    await server.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print(f"grpc.aio listens on 127.0.0.1:{port} ", flush=True)
    await stop.wait()
    await server.stop(1)
    await blobs.close()
    await catalog.close()


if __name__ == "__main__":
    uvloop.run(main())
