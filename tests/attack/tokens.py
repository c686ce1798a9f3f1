"""Calls with a token: of the good client, where it shares its address with the greedy one."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import grpc
import grpc.aio

from conexiones.gen.conexiones.v1.access_pb2 import CreateTokenRequest
from conexiones.gen.conexiones.v1.access_pb2_grpc import AdminServiceStub
from conexiones.gen.conexiones.v1.images_pb2 import DownloadImageRequest, Rendition
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.gen.conexiones.v1.uploads_pb2 import (
    CreateUploadRequest,
    FinishUploadRequest,
    Upload,
    WriteStreamRequest,
)
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import UploadServiceStub

VARIABLE = "ATTACK_TOKEN"
"""The variable with the token of a client in a process of its own: others see command lines."""

_CHUNK = 1 << 20

Metadata = tuple[tuple[str, str], ...]


def metadata(token: str) -> Metadata:
    return (("authorization", f"Bearer {token}"),) if token else ()


def made(address: str, data_dir: Path, *names: str) -> list[str]:
    """New tokens of those names, which may read and write."""
    admin = (data_dir / "admin-token").read_text().strip()
    with grpc.insecure_channel(address) as channel:
        stub = AdminServiceStub(channel)
        scopes = ["SCOPE_READ", "SCOPE_WRITE"]
        return [
            stub.CreateToken(CreateTokenRequest(name=name, scopes=scopes), metadata=metadata(admin)).secret
            for name in names
        ]


class WithToken:
    """Uploads and renditions over one channel, without retries."""

    def __init__(self, channel: grpc.aio.Channel, token: str, *, seconds: float) -> None:
        self._uploads = UploadServiceStub(channel)
        self._images = ImageServiceStub(channel)
        self._metadata = metadata(token)
        self._seconds = seconds

    async def upload(self, data: bytes) -> Upload:
        """Sends an image as a resumable upload."""
        with_token = {"metadata": self._metadata, "timeout": self._seconds}
        request = CreateUploadRequest(request_id=str(uuid4()), size_bytes=len(data))
        upload = (await self._uploads.CreateUpload(request, **with_token)).upload
        async for _ in self._uploads.WriteStream(_chunks(upload.id, data), **with_token):
            pass
        finish = FinishUploadRequest(id=upload.id, size_bytes=len(data))
        return (await self._uploads.FinishUpload(finish, **with_token)).upload

    async def rendition(self, image: str, width: int, height: int) -> int:
        """Downloads a rendition, and gives its size."""
        request = DownloadImageRequest(
            id=image, rendition=Rendition(width=width, height=height, fit=Rendition.FIT_COVER)
        )
        pieces = self._images.DownloadImage(request, metadata=self._metadata, timeout=self._seconds)
        return sum([len(piece.data) async for piece in pieces])


def _chunks(upload: str, data: bytes) -> Iterator[WriteStreamRequest]:
    for start in itertools.count(0, _CHUNK):
        if start >= len(data):
            return
        yield WriteStreamRequest(upload_id=upload, offset=start, data=data[start : start + _CHUNK])
