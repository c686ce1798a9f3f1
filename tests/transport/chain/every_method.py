"""Every method that the server has, with requests that succeed, and the ways in which it can be called."""

import hashlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthListRequest
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest

from conexiones.gen.conexiones.v1 import access_pb2, images_pb2, status_pb2, uploads_pb2
from conexiones.gen.user_pb2 import GetImage, GetUserRequest
from conexiones.routes import SERVICES
from conexiones.services import reflection
from tests.transport.chain.cases import IMAGE, NO_IMAGE, Caller, Case
from tests.transport.chain.ways import WAYS, Way


def methods() -> Iterator[MethodDescriptor]:
    pool = descriptor_pool.Default()
    for service in (*SERVICES, reflection.CURRENT, reflection.ALPHA):
        yield from pool.FindServiceByName(service).methods


def path_of(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


Requests = Callable[[Caller], Awaitable[list[Message]]]


def always(*messages: Message) -> Requests:
    async def give(client: Caller) -> list[Message]:
        return list(messages)

    return give


def with_image(message: Callable[[str], Message]) -> Requests:
    async def give(client: Caller) -> list[Message]:
        return [message(await client.image())]

    return give


def with_upload(message: Callable[[str], Message], *, full: bool = False) -> Requests:
    async def give(client: Caller) -> list[Message]:
        return [message(await client.upload(full=full))]

    return give


async def revoked_token(client: Caller) -> list[Message]:
    return [access_pb2.RevokeTokenRequest(id=await client.token())]


UPLOADS, IMAGES = "/conexiones.v1.UploadService", "/conexiones.v1.ImageService"
ADMIN = "/conexiones.v1.AdminService"
ONE_IMAGE = "the image of every way"
HEALTH, USUARIO = "/grpc.health.v1.Health", "/user.UsuarioServicio"

SOUND: dict[str, Requests] = {
    f"{USUARIO}/GetUser": always(GetUserRequest(name="Ana")),
    f"{USUARIO}/ProcessImage": always(GetUserRequest(image=IMAGE)),
    f"{USUARIO}/GetStreamImage": always(GetImage(image=IMAGE[:5000]), GetImage(image=IMAGE[5000:])),
    f"{USUARIO}/ImageStreamReply": always(GetImage(image=IMAGE), GetImage(image=b"no image")),
    f"{USUARIO}/GetUserBidiStream": always(GetUserRequest(name="Ana"), GetUserRequest(name="Zoé")),
    f"{UPLOADS}/GetLimits": always(uploads_pb2.GetLimitsRequest()),
    f"{UPLOADS}/CreateUpload": always(uploads_pb2.CreateUploadRequest(request_id=NO_IMAGE)),
    f"{UPLOADS}/WriteChunk": with_upload(
        lambda one: uploads_pb2.WriteChunkRequest(upload_id=one, data=IMAGE)
    ),
    f"{UPLOADS}/WriteStream": with_upload(
        lambda one: uploads_pb2.WriteStreamRequest(upload_id=one, data=IMAGE)
    ),
    f"{UPLOADS}/GetUpload": with_upload(lambda one: uploads_pb2.GetUploadRequest(id=one)),
    f"{UPLOADS}/FinishUpload": with_upload(
        lambda one: uploads_pb2.FinishUploadRequest(
            id=one, size_bytes=len(IMAGE), sha256=hashlib.sha256(IMAGE).digest()
        ),
        full=True,
    ),
    f"{UPLOADS}/CancelUpload": with_upload(lambda one: uploads_pb2.CancelUploadRequest(id=one)),
    f"{UPLOADS}/UploadImage": always(uploads_pb2.UploadImageRequest(request_id=ONE_IMAGE, image=IMAGE)),
    f"{UPLOADS}/UploadImages": always(
        uploads_pb2.UploadImagesRequest(request_id=ONE_IMAGE, image=IMAGE),
        uploads_pb2.UploadImagesRequest(image=b"no image"),
    ),
    f"{UPLOADS}/CreateTicket": always(uploads_pb2.CreateTicketRequest()),
    f"{IMAGES}/SignImageUrl": with_image(lambda one: images_pb2.SignImageUrlRequest(id=one)),
    f"{ADMIN}/CreateToken": always(access_pb2.CreateTokenRequest(name="one", scopes=["SCOPE_READ"])),
    f"{ADMIN}/ListTokens": always(access_pb2.ListTokensRequest()),
    f"{ADMIN}/RevokeToken": revoked_token,
    f"{ADMIN}/RotateLinkKey": always(access_pb2.RotateLinkKeyRequest()),
    f"{IMAGES}/GetImage": with_image(lambda one: images_pb2.GetImageRequest(id=one)),
    f"{IMAGES}/ListImages": always(images_pb2.ListImagesRequest()),
    f"{IMAGES}/DeleteImage": with_image(lambda one: images_pb2.DeleteImageRequest(id=one)),
    f"{IMAGES}/DownloadImage": with_image(lambda one: images_pb2.DownloadImageRequest(id=one)),
    f"{IMAGES}/WatchImages": always(images_pb2.WatchImagesRequest()),
    "/conexiones.v1.StatusService/GetStatus": always(status_pb2.GetStatusRequest()),
    f"{HEALTH}/Check": always(HealthCheckRequest()),
    f"{HEALTH}/List": always(HealthListRequest()),
    f"{HEALTH}/Watch": always(HealthCheckRequest()),
    **{
        f"/{service}/ServerReflectionInfo": always(ServerReflectionRequest(list_services=""))
        for service in (reflection.CURRENT, reflection.ALPHA)
    },
}
"""Requests that succeed, for every method that there is."""

ENDLESS = {f"{IMAGES}/WatchImages", f"{HEALTH}/Watch"}
"""Calls that end only with their time, or with their client."""

EXEMPT = {f"{IMAGES}/WatchImages": ("drain",)} | {
    f"{HEALTH}/{name}": ("admission",) for name in ("Check", "List", "Watch")
}


def rpc(outcome: str, method: MethodDescriptor, way: Way, **more: Any) -> Case:
    path = path_of(method)
    return Case(
        name=f"{outcome}: {path} by {way.name}",
        path=path,
        service=method.containing_service.full_name,
        method=method.name,
        protocol=way.protocol,
        exempt=EXEMPT.get(path, ()),
        http2=way.http2,
        **{"headers": way.headers(), **more},
    )


def ways_of(method: MethodDescriptor) -> list[Way]:
    streams = method.client_streaming or method.server_streaming
    return [way for way in WAYS if way.carries(streams=streams)]
