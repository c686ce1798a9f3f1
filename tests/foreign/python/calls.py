"""The calls of both APIs by grpclib."""

import asyncio
import hashlib
import os
import ssl
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

sys.path.insert(
    0, str(Path(__file__).parent / "gen")
)  # The generated modules import each other by their own names.

from conexiones.v1 import images_grpc, images_pb2, uploads_grpc, uploads_pb2
from google.rpc import error_details_pb2
from grpclib.client import Channel
from grpclib.exceptions import GRPCError, StreamTerminatedError
from user_grpc import UsuarioServicioStub
from user_pb2 import GetImage, GetUserRequest, ImageInfo

FRAGMENT = 4 << 10
CHUNK = 1 << 20


def channel(address: str) -> Channel:
    host, _, port = address.rpartition(":")
    if not (certs := os.environ["FOREIGN_CERTS"]):
        return Channel(host, int(port))
    context = ssl.create_default_context(cafile=f"{certs}/ca.pem")
    context.load_cert_chain(f"{certs}/client.pem", f"{certs}/client.key")
    context.set_alpn_protocols(["h2"])
    return Channel(host, int(port), ssl=context)


async def say(case: str, see: Callable[[], Awaitable[object]]) -> None:
    try:
        found = await see()
    except Exception as error:  # whatever it is, it is what this case saw
        found = f"failed: {error!r}"
    print(case, str(found).replace("\n", " "), sep="\t", flush=True)


def parts(data: bytes, size: int, begin: int = 0) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(begin, len(data), size))


def described(image: ImageInfo) -> str:
    return f"{image.format} {image.width}x{image.height} {image.size_bytes}"


async def refusal(call: Awaitable[object]) -> str:
    try:
        await call
    except GRPCError as error:
        # grpclib decodes the details if googleapis-common-protos is installed.
        found = [str(error.status.value)]
        for detail in error.details:
            if isinstance(detail, error_details_pb2.ErrorInfo):
                found.append(detail.reason)
            elif isinstance(detail, error_details_pb2.BadRequest):
                found.append(detail.field_violations[0].field)
        return " ".join(found)
    return "not refused"


class Calls:
    def __init__(self, plain: Channel, photo: bytes) -> None:
        self._usuario = UsuarioServicioStub(plain)
        self._uploads = uploads_grpc.UploadServiceStub(plain)
        self._images = images_grpc.ImageServiceStub(plain)
        self._photo = photo

    async def get_user(self) -> str:
        return (await self._usuario.GetUser(GetUserRequest(name="Zoé", pow=3))).message

    async def process(self, image: bytes) -> str:
        return described((await self._usuario.ProcessImage(GetUserRequest(image=image))).image_info)

    async def streamed(self) -> str:
        fragments = [GetImage(image=part) for part in parts(self._photo, FRAGMENT)]
        return described((await self._usuario.GetStreamImage(fragments)).image_info)

    async def image_stream(self) -> str:
        found = []
        async with self._usuario.ImageStreamReply.open() as stream:
            for image in (self._photo, b"no image", self._photo):
                await stream.send_message(GetImage(image=image))
                reply = await stream.recv_message()  # before the next image is sent
                found.append(reply.image_info.format or reply.error.reason)
            await stream.end()
            assert await stream.recv_message() is None
        return ", ".join(found)

    async def user_stream(self) -> str:
        found = []
        async with self._usuario.GetUserBidiStream.open() as stream:
            for pow in (7, 65536):
                await stream.send_message(GetUserRequest(name="Iñaki", pow=pow, image=self._photo))
                reply = await stream.recv_message()
                preview = ["preview"] if reply.image.startswith(b"\xff\xd8\xff") else []
                found.append(" ".join([str(reply.pow), *(error.reason for error in reply.errors), *preview]))
            await stream.end()
            assert await stream.recv_message() is None
        return ", ".join(found)

    async def refused(self) -> str:
        return await refusal(self._usuario.GetUser(GetUserRequest()))

    async def too_large(self) -> str:
        limits = await self._uploads.GetLimits(uploads_pb2.GetLimitsRequest())
        image = bytes(limits.max_message_bytes)
        return await refusal(self._usuario.ProcessImage(GetUserRequest(image=image)))

    async def rejected(self) -> str:
        """Uploads what is no image, and reads why it is none from the outcome."""
        created = await self._uploads.CreateUpload(uploads_pb2.CreateUploadRequest(request_id=str(uuid4())))
        id, data = created.upload.id, b"no image"
        with suppress(GRPCError):  # it may be refused already
            await self._uploads.WriteChunk(uploads_pb2.WriteChunkRequest(upload_id=id, data=data))
        request = uploads_pb2.FinishUploadRequest(id=id, size_bytes=len(data))
        upload = (await self._uploads.FinishUpload(request)).upload
        return f"{uploads_pb2.Upload.State.Name(upload.state)} {upload.failure.reason}"

    async def late(self) -> object:
        try:
            async with self._images.WatchImages.open(timeout=0.3) as stream:
                await stream.send_message(images_pb2.WatchImagesRequest(), end=True)
                async for _ in stream:
                    pass
        except GRPCError as error:
            return error.status.value
        except TimeoutError:  # what grpclib raises if its own clock is first
            return 4
        return "not ended"

    async def download(self, id: str) -> str:
        digest = hashlib.sha256()
        async with self._images.DownloadImage.open() as stream:
            await stream.send_message(images_pb2.DownloadImageRequest(id=id), end=True)
            async for frame in stream:
                digest.update(frame.data)
        return digest.hexdigest()


class Upload:
    """An upload that goes on from the committed size when the connection breaks."""

    def __init__(self, breaking: Channel, content: bytes) -> None:
        self._stub = uploads_grpc.UploadServiceStub(breaking)
        self._content = content
        self.image = ""

    async def send(self) -> str:
        size = len(self._content)
        created = await self._stub.CreateUpload(
            uploads_pb2.CreateUploadRequest(request_id=str(uuid4()), size_bytes=size)
        )
        resumed = 0
        while True:
            try:
                await self._write(created.upload.id)
                break
            except (GRPCError, StreamTerminatedError, OSError):
                resumed += 1
                if resumed == 5:
                    raise
        sha256 = hashlib.sha256(self._content).digest()
        finished = await self._stub.FinishUpload(
            uploads_pb2.FinishUploadRequest(id=created.upload.id, size_bytes=size, sha256=sha256)
        )
        self.image = finished.upload.image.id
        return f"{uploads_pb2.Upload.State.Name(finished.upload.state)}, resumed {resumed}"

    async def _write(self, id: str) -> None:
        async with self._stub.WriteStream.open() as stream:
            await stream.send_message(uploads_pb2.WriteStreamRequest(upload_id=id))
            begin = await stream.recv_message()
            sending = asyncio.create_task(self._send(stream, begin.committed_size))
            try:
                async for _ in stream:  # acknowledgements come while chunks are sent
                    pass
            finally:
                sending.cancel()

    async def _send(self, stream, offset: int) -> None:
        for data in parts(self._content, CHUNK, offset):
            await stream.send_message(uploads_pb2.WriteStreamRequest(offset=offset, data=data))
            offset += len(data)
        await stream.end()


async def main(photo: bytes, large: bytes) -> None:
    plain, breaking = channel(os.environ["FOREIGN_ADDRESS"]), channel(os.environ["FOREIGN_PROXY"])
    calls, upload = Calls(plain, photo), Upload(breaking, large)
    await say("GetUser", calls.get_user)
    await say("ProcessImage", lambda: calls.process(photo))
    await say("GetStreamImage", calls.streamed)
    await say("ImageStreamReply", calls.image_stream)
    await say("GetUserBidiStream", calls.user_stream)
    await say("error", calls.refused)
    await say("too large", calls.too_large)
    await say("rejected", calls.rejected)
    await say("deadline", calls.late)
    await say("large", lambda: calls.process(large))
    await say("upload", upload.send)
    await say("download", lambda: calls.download(upload.image))
    plain.close()
    breaking.close()


asyncio.run(main(*(Path(os.environ[name]).read_bytes() for name in ("FOREIGN_PHOTO", "FOREIGN_LARGE"))))
