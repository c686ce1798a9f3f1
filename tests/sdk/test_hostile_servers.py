"""SDK and commands against servers that lie: nothing is written elsewhere, nothing grows, all ends."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import google_crc32c
import grpc
import pytest
from google.rpc.status_pb2 import Status

from conexiones import AsyncClient, errors
from conexiones.gen.conexiones.v1 import images_pb2, uploads_pb2
from conexiones.gen.conexiones.v1.images_pb2_grpc import (
    ImageServiceServicer,
    add_ImageServiceServicer_to_server,
)
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import (
    UploadServiceServicer,
    add_UploadServiceServicer_to_server,
)
from conexiones.gen.user_pb2_grpc import UsuarioServicioServicer, add_UsuarioServicioServicer_to_server
from conexiones.sdk import NoProgress
from conexiones.services.details import packed
from tests.commands.shell import Shell
from tests.support.waiting import DEADLINE

DATA = b"data"
ESCAPE = "\x1b]0;title\x07"


@asynccontextmanager
async def serving(**calls: Callable[..., Any]) -> AsyncIterator[str]:
    """The address of a server with these calls, by the names of their methods."""
    methods = {name: staticmethod(call) for name, call in calls.items()}
    server = grpc.aio.server()
    add_ImageServiceServicer_to_server(type("Images", (ImageServiceServicer,), methods)(), server)
    add_UploadServiceServicer_to_server(type("Uploads", (UploadServiceServicer,), methods)(), server)
    add_UsuarioServicioServicer_to_server(type("Usuario", (UsuarioServicioServicer,), methods)(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def fail(context: Any, error: errors.ConexionesError) -> None:
    """Ends a call as our server does."""
    status = Status(code=error.code, message=error.message, details=packed(error))
    (code,) = (one for one in grpc.StatusCode if one.value[0] == error.code)
    await context.abort(code, error.message, (("grpc-status-details-bin", status.SerializeToString()),))


def image(**more: Any) -> images_pb2.Image:
    given: dict[str, Any] = {
        "id": "1",
        "format": "PNG",
        "size_bytes": len(DATA),
        "sha256": hashlib.sha256(DATA).digest(),
    }
    return images_pb2.Image(**(given | more))


def frame(offset: int, data: bytes = DATA, **more: Any) -> images_pb2.DownloadImageResponse:
    return images_pb2.DownloadImageResponse(
        offset=offset, data=data, crc32c=google_crc32c.value(data), **more
    )


async def endless(request: Any, context: Any) -> AsyncIterator[images_pb2.DownloadImageResponse]:
    yield frame(0, image=image())
    offset = len(DATA)
    while True:
        yield frame(offset)
        offset += len(DATA)


async def test_bytes_beyond_the_end_are_not_taken(tmp_path: Path) -> None:
    async with serving(DownloadImage=endless) as address, AsyncClient(address) as client:
        assert await client.download("1") == DATA
        await client.download("1", tmp_path / "a")
        assert (tmp_path / "a").read_bytes() == DATA


async def test_another_range_than_the_asked_one_is_not_taken() -> None:
    async def first(request: Any, context: Any) -> AsyncIterator[images_pb2.DownloadImageResponse]:
        yield frame(0, image=image(size_bytes=1000))

    async with serving(DownloadImage=first) as address, AsyncClient(address, patience=0.3) as client:
        for offset in (500, -500):
            with pytest.raises(errors.OffsetMismatch):
                await client.download("1", offset=offset)


async def test_frames_without_bytes_are_no_progress() -> None:
    async def nothing(request: Any, context: Any) -> AsyncIterator[images_pb2.DownloadImageResponse]:
        while True:
            yield images_pb2.DownloadImageResponse(image=image())
            await asyncio.sleep(0.01)  # pacing of a server

    async with (
        serving(DownloadImage=nothing) as address,
        asyncio.timeout(DEADLINE),
        AsyncClient(address, timeout=0.2, patience=0.5) as client,
    ):
        with pytest.raises(NoProgress):
            await client.download("1")


async def test_pages_without_images_are_the_last_ones() -> None:
    async def page(request: Any, context: Any) -> images_pb2.ListImagesResponse:
        return images_pb2.ListImagesResponse(next_page_token="same")

    async with serving(ListImages=page) as address, AsyncClient(address) as client:
        assert [one async for one in client.images()] == []


async def created(request: Any, context: Any) -> uploads_pb2.CreateUploadResponse:
    return uploads_pb2.CreateUploadResponse(upload=uploads_pb2.Upload(id="u", state="STATE_OPEN"))


async def whole(requests: Any, context: Any) -> AsyncIterator[uploads_pb2.WriteStreamResponse]:
    yield uploads_pb2.WriteStreamResponse(committed_size=0)
    async for request in requests:
        if request.data:
            yield uploads_pb2.WriteStreamResponse(committed_size=request.offset + len(request.data))


@pytest.mark.parametrize("lie", [{"size_bytes": 5}, {"sha256": b"y" * 32}], ids=str)
async def test_an_image_of_other_bytes_is_no_success(lie: dict[str, Any], tmp_path: Path) -> None:
    async def finished(request: Any, context: Any) -> uploads_pb2.FinishUploadResponse:
        return uploads_pb2.FinishUploadResponse(
            upload=uploads_pb2.Upload(id="u", state="STATE_READY", image=image(**lie))
        )

    (tmp_path / "a.png").write_bytes(DATA)
    calls = {"CreateUpload": created, "WriteStream": whole, "FinishUpload": finished}
    async with serving(**calls) as address, AsyncClient(address) as client:
        with pytest.raises(errors.ChecksumMismatch):
            await client.upload(tmp_path / "a.png")


@pytest.mark.parametrize("committed", [0, 1 << 60])
async def test_acknowledgements_that_say_nothing_or_too_much(committed: int) -> None:
    async def acknowledge(requests: Any, context: Any) -> AsyncIterator[uploads_pb2.WriteStreamResponse]:
        while True:
            yield uploads_pb2.WriteStreamResponse(committed_size=committed)
            await asyncio.sleep(0.01)  # pacing of a server

    calls = {"CreateUpload": created, "WriteStream": acknowledge}
    async with (
        serving(**calls) as address,
        asyncio.timeout(DEADLINE),
        AsyncClient(address, timeout=0.2, patience=0.5) as client,
    ):
        # The former is NoProgress, unless on a busy machine not even the first call is answered in time.
        with pytest.raises((errors.DeadlineExceeded, errors.SizeExceeded)):
            await client.upload(DATA)


def files(folder: Path) -> list[Path]:
    return [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("id", ["../../evil", "/tmp/evil", "..", "a/b"])
async def test_a_name_of_a_file_is_never_made_of_a_reply(id: str, tmp_path: Path) -> None:
    async def get(request: Any, context: Any) -> images_pb2.GetImageResponse:
        return images_pb2.GetImageResponse(image=image(id=id, format="x/../../evil"))

    folder = tmp_path / "deep" / "here"
    folder.mkdir(parents=True)
    async with serving(GetImage=get, DownloadImage=endless) as address:
        await asyncio.to_thread(Shell(folder, address), "get", "1")
    assert files(tmp_path) == [Path("deep/here/1.bin")]


async def test_what_acts_on_a_terminal_is_shown_as_escapes(tmp_path: Path) -> None:
    async def page(request: Any, context: Any) -> images_pb2.ListImagesResponse:
        return images_pb2.ListImagesResponse(images=[image(id=ESCAPE, format=ESCAPE, user=ESCAPE)])

    async with serving(ListImages=page) as address:
        for more in ([], ["--json"]):
            done = await asyncio.to_thread(Shell(tmp_path, address), "ls", *more)
            assert done.stdout
            assert not {0x1B, 0x07} & set(done.stdout)


async def test_a_closed_client_ends_the_calls_on_a_connection_that_was_replaced() -> None:
    async def watch(request: Any, context: Any) -> AsyncIterator[images_pb2.WatchImagesResponse]:
        yield images_pb2.WatchImagesResponse(resume_token="1", heartbeat=images_pb2.Heartbeat())
        await asyncio.Event().wait()

    async def get(request: Any, context: Any) -> images_pb2.GetImageResponse:
        await asyncio.Event().wait()
        return images_pb2.GetImageResponse()

    listening = asyncio.Event()
    async with serving(WatchImages=watch, GetImage=get) as address, asyncio.timeout(DEADLINE):
        client = AsyncClient(address, timeout=0.3, retries=0)
        events = client.watch(ready=lambda _: listening.set())
        coming = asyncio.ensure_future(anext(events))
        await listening.wait()
        with pytest.raises(errors.DeadlineExceeded):  # the next call gets another connection
            await client.image("1")
        await client.close()
        with pytest.raises(RuntimeError, match="closed"):
            await coming
