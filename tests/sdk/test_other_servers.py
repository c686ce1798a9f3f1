"""Downloads from servers that do what ours does not: real gRPC, another service behind it."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import google_crc32c
import grpc
import pytest

from conexiones import AsyncClient
from conexiones.gen.conexiones.v1.images_pb2 import DownloadImageRequest, DownloadImageResponse, Image
from conexiones.gen.conexiones.v1.images_pb2_grpc import (
    ImageServiceServicer,
    add_ImageServiceServicer_to_server,
)
from conexiones.sdk import NoProgress, Rendition, ServerTooOld

DATA = bytes(range(256)) * 4


class Service(ImageServiceServicer):
    """Knows one image and no renditions; the connection is lost after the last byte of each download."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    async def DownloadImage(  # noqa: N802 (as gRPC calls it)
        self, request: DownloadImageRequest, context: Any
    ) -> AsyncIterator[DownloadImageResponse]:
        self.asked.append((request.offset, request.limit))
        end = request.offset + request.limit if request.limit else len(DATA)
        data = DATA[request.offset : end]
        sha256 = hashlib.sha256(DATA).digest()
        image = Image(id="1", size_bytes=len(DATA), sha256=sha256, etag=f'"{sha256.hex()}"')
        yield DownloadImageResponse(
            image=image, offset=request.offset, data=data, crc32c=google_crc32c.value(data)
        )
        await context.abort(grpc.StatusCode.UNAVAILABLE, "lost")


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[AsyncClient, Service]]:
    service, server = Service(), grpc.aio.server()
    add_ImageServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with AsyncClient(f"127.0.0.1:{port}") as client:
            yield client, service
    finally:
        await server.stop(None)


@pytest.mark.parametrize(("offset", "limit"), [(0, 0), (0, 100), (10, 100), (24, 1000), (1000, 0)])
async def test_a_connection_that_is_lost_after_the_last_byte_costs_nothing(offset: int, limit: int) -> None:
    async with serving() as (client, service):
        data = await client.download("1", offset=offset, limit=limit)
        assert data == DATA[offset : offset + limit if limit else None]
        assert service.asked == [(offset, limit)]


async def test_a_server_without_renditions_is_told_apart() -> None:
    async with serving() as (client, _):
        with pytest.raises(ServerTooOld):
            await client.download("1", rendition=Rendition(width=10))


async def test_what_cannot_be_read_is_a_connection_that_failed() -> None:
    async def answer(request: bytes, context: object) -> AsyncIterator[bytes]:
        yield b"\x0a\xff"

    handler = grpc.method_handlers_generic_handler(
        "conexiones.v1.ImageService", {"DownloadImage": grpc.unary_stream_rpc_method_handler(answer)}
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with AsyncClient(f"127.0.0.1:{port}", patience=0.2) as client:
        with pytest.raises(NoProgress):
            await client.download("1")
    await server.stop(None)
