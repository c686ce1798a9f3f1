"""Callers of a server that asks for credentials, each with a secret of its own."""

from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.protobuf.message import Message

from conexiones.gen.conexiones.v1.access_pb2 import CreateTokenRequest
from conexiones.gen.conexiones.v1.access_pb2_grpc import AdminServiceStub
from conexiones.gen.conexiones.v1.images_pb2 import ListImagesRequest
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.gen.conexiones.v1.status_pb2_grpc import StatusServiceStub
from conexiones.gen.conexiones.v1.uploads_pb2 import (
    CreateTicketRequest,
    CreateUploadRequest,
    GetLimitsRequest,
    WriteChunkRequest,
)
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import UploadServiceStub
from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server
from tests.support.bitmaps import bitmap
from tests.support.waiting import DEADLINE

SCOPES = ("SCOPE_READ", "SCOPE_WRITE", "SCOPE_DELETE")


def picture(seed: int = 0) -> bytes:
    return b"".join(bitmap(20, 10, seed=seed))


class Caller:
    """The services, as called with one secret, or with none."""

    def __init__(self, server: Server, channel: grpc.Channel, secret: str = "") -> None:
        self.server, self.channel, self.secret = server, channel, secret
        self.images = ImageServiceStub(channel)
        self.uploads = UploadServiceStub(channel)
        self.users = UsuarioServicioStub(channel)
        self.status = StatusServiceStub(channel)
        self.admin = AdminServiceStub(channel)

    @property
    def metadata(self) -> list[tuple[str, str]]:
        return [("authorization", f"Bearer {self.secret}")] if self.secret else []

    def call(self, method: Any, request: Any) -> Any:
        """The reply, or of a stream the list of them."""
        reply = method(request, metadata=self.metadata, timeout=DEADLINE)
        return reply if isinstance(reply, Message) else list(reply)

    def token(self, name: str, **more: Any) -> "Caller":
        request = CreateTokenRequest(name=name, **{"scopes": SCOPES, **more})
        return self.with_secret(self.call(self.admin.CreateToken, request).secret)

    def ticket(self, **more: Any) -> "Caller":
        return self.with_secret(self.call(self.uploads.CreateTicket, CreateTicketRequest(**more)).secret)

    def with_secret(self, secret: str) -> "Caller":
        return Caller(self.server, self.channel, secret)

    def stores(self, seed: int = 0, user: str = "") -> str:
        """Stores an image, and gives its id."""
        request = GetUserRequest(name=user, image=picture(seed))
        return str(self.call(self.users.ProcessImage, request).image_info.id)

    def begins(self, data: bytes = b"", **more: Any) -> str:
        """Begins an upload, and commits its first bytes; gives its id."""
        request = CreateUploadRequest(**{"request_id": str(uuid4()), **more})
        upload = str(self.call(self.uploads.CreateUpload, request).upload.id)
        if data:
            self.call(self.uploads.WriteChunk, WriteChunkRequest(upload_id=upload, data=data))
        return upload

    def listed(self, **more: Any) -> list[str]:
        reply = self.call(self.images.ListImages, ListImagesRequest(**more))
        return [image.id for image in reply.images]

    def refused(self, method: Any, request: Any) -> grpc.RpcError:
        with pytest.raises(grpc.RpcError) as error:
            self.call(method, request)
        return error.value

    def fetched(self, path: str) -> tuple[int, bytes]:
        """The status and the body that plain HTTP gives, without the id of the request."""
        with closing(HTTPConnection(self.server.address, timeout=DEADLINE)) as connection:
            connection.request("GET", path, headers=dict(self.metadata))
            answer = connection.getresponse()
            return answer.status, answer.read().replace(answer.headers["x-request-id"].encode(), b"")

    @property
    def usage(self) -> tuple[int, int, int]:
        """The images, the bytes and the open uploads that the caller is told to have."""
        usage = self.call(self.uploads.GetLimits, GetLimitsRequest()).access.usage
        return usage.stored_images, usage.stored_bytes, usage.open_uploads
