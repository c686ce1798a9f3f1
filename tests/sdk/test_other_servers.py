"""Downloads from servers that do what ours does not: real gRPC, another service behind it."""

import hashlib
import io
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import google_crc32c
import grpc
import pytest

from conexiones import AsyncClient, errors
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


class Failing(ImageServiceServicer):
    """Sends some frames of an image, and then fails for good."""

    FRAMES = 7

    async def DownloadImage(  # noqa: N802 (as gRPC calls it)
        self, request: DownloadImageRequest, context: Any
    ) -> AsyncIterator[DownloadImageResponse]:
        image = Image(id="1", size_bytes=100 * len(DATA), sha256=bytes(32), etag='"1"')
        for number in range(self.FRAMES):
            yield DownloadImageResponse(
                image=image if number == 0 else None,
                offset=number * len(DATA),
                data=DATA,
                crc32c=google_crc32c.value(DATA),
            )
        await context.abort(grpc.StatusCode.DATA_LOSS, "The rest is gone.")


@pytest.mark.parametrize("kind", ["path", "file", "pipe"])
async def test_a_download_that_ends_early_keeps_what_had_come(tmp_path: Path, kind: str) -> None:
    server = grpc.aio.server()
    add_ImageServiceServicer_to_server(Failing(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    path, came = tmp_path / "a", Failing.FRAMES * DATA
    try:
        async with AsyncClient(f"127.0.0.1:{port}") as client:
            if kind == "path":
                with pytest.raises(errors.DataLoss):
                    await client.download("1", path)
                assert path.with_name("a.part").read_bytes() == came
                assert not path.exists()
            elif kind == "file":
                file = io.BytesIO()
                with pytest.raises(errors.DataLoss):
                    await client.download("1", file)
                assert file.getvalue() == came
            else:
                os.mkfifo(path)
                reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
                with pytest.raises(errors.DataLoss):
                    await client.download("1", path)
                assert os.read(reading, 1 << 20) == came
                os.close(reading)
    finally:
        await server.stop(None)
