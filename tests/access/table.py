"""Who may call what, written out by hand: a route that asks for anything else fails a test."""

from dataclasses import dataclass

from google.protobuf.message import Message
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthListRequest
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest

from conexiones.gen.conexiones.v1 import access_pb2, images_pb2, status_pb2, uploads_pb2
from conexiones.gen.user_pb2 import GetImage, GetUserRequest

NOWHERE = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Row:
    """What a method needs, and a request for it. `answer` is the reason of the error with which the handler
    itself answers that request, empty if it succeeds: whoever gets this answer was let in."""

    needs: str
    request: Message
    answer: str = ""
    ticketed: bool = False
    endless: bool = False


_USUARIO, _UPLOADS, _IMAGES = (
    "/user.UsuarioServicio",
    "/conexiones.v1.UploadService",
    "/conexiones.v1.ImageService",
)
_ADMIN, _HEALTH = "/conexiones.v1.AdminService", "/grpc.health.v1.Health"
_NO_UPLOAD, _NO_IMAGE = "UPLOAD_NOT_FOUND", "IMAGE_NOT_FOUND"

_NEW_TOKEN = access_pb2.CreateTokenRequest(name="made", scopes=["SCOPE_READ"], ttl={"nanos": 1})

_SERVICES = ServerReflectionRequest(list_services="")

TABLE: dict[str, Row] = {
    f"{_USUARIO}/GetUser": Row("write", GetUserRequest(name="Ana")),
    f"{_USUARIO}/ProcessImage": Row("write", GetUserRequest(), "EMPTY_IMAGE", ticketed=True),
    f"{_USUARIO}/GetStreamImage": Row("write", GetImage(), "EMPTY_STREAM", ticketed=True),
    f"{_USUARIO}/ImageStreamReply": Row("write", GetImage(image=b"none"), ticketed=True),
    f"{_USUARIO}/GetUserBidiStream": Row("write", GetUserRequest(name="Ana")),
    f"{_UPLOADS}/GetLimits": Row("any", uploads_pb2.GetLimitsRequest()),
    f"{_UPLOADS}/CreateTicket": Row("write", uploads_pb2.CreateTicketRequest(ttl={"nanos": 1})),
    f"{_UPLOADS}/CreateUpload": Row(
        "write", uploads_pb2.CreateUploadRequest(), "INVALID_FIELD", ticketed=True
    ),
    f"{_UPLOADS}/WriteChunk": Row(
        "write", uploads_pb2.WriteChunkRequest(upload_id=NOWHERE, data=b"x"), _NO_UPLOAD, ticketed=True
    ),
    f"{_UPLOADS}/WriteStream": Row(
        "write", uploads_pb2.WriteStreamRequest(upload_id=NOWHERE, data=b"x"), _NO_UPLOAD, ticketed=True
    ),
    f"{_UPLOADS}/UploadImage": Row("write", uploads_pb2.UploadImageRequest(), "EMPTY_IMAGE", ticketed=True),
    f"{_UPLOADS}/UploadImages": Row("write", uploads_pb2.UploadImagesRequest(image=b"none"), ticketed=True),
    f"{_UPLOADS}/GetUpload": Row(
        "write", uploads_pb2.GetUploadRequest(id=NOWHERE), _NO_UPLOAD, ticketed=True
    ),
    f"{_UPLOADS}/FinishUpload": Row(
        "write", uploads_pb2.FinishUploadRequest(id=NOWHERE), _NO_UPLOAD, ticketed=True
    ),
    f"{_UPLOADS}/CancelUpload": Row(
        "write", uploads_pb2.CancelUploadRequest(id=NOWHERE), _NO_UPLOAD, ticketed=True
    ),
    f"{_IMAGES}/GetImage": Row("read", images_pb2.GetImageRequest(id=NOWHERE), _NO_IMAGE),
    f"{_IMAGES}/ListImages": Row("read", images_pb2.ListImagesRequest()),
    f"{_IMAGES}/DownloadImage": Row("read", images_pb2.DownloadImageRequest(id=NOWHERE), _NO_IMAGE),
    f"{_IMAGES}/WatchImages": Row("read", images_pb2.WatchImagesRequest(), endless=True),
    f"{_IMAGES}/SignImageUrl": Row("read", images_pb2.SignImageUrlRequest(id=NOWHERE), _NO_IMAGE),
    f"{_IMAGES}/DeleteImage": Row("delete", images_pb2.DeleteImageRequest(id=NOWHERE), _NO_IMAGE),
    f"{_ADMIN}/CreateToken": Row("admin", _NEW_TOKEN),
    f"{_ADMIN}/ListTokens": Row("admin", access_pb2.ListTokensRequest()),
    f"{_ADMIN}/RevokeToken": Row("admin", access_pb2.RevokeTokenRequest(id="none"), "TOKEN_NOT_FOUND"),
    f"{_ADMIN}/RotateLinkKey": Row("admin", access_pb2.RotateLinkKeyRequest()),
    "/conexiones.v1.StatusService/GetStatus": Row("read", status_pb2.GetStatusRequest()),
    f"{_HEALTH}/Check": Row("none", HealthCheckRequest()),
    f"{_HEALTH}/List": Row("none", HealthListRequest()),
    f"{_HEALTH}/Watch": Row("none", HealthCheckRequest(), endless=True),
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo": Row("none", _SERVICES),
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Row("none", _SERVICES),
}
"""Every RPC."""


@dataclass(frozen=True, slots=True)
class Page:
    """A request of plain HTTP: what it needs, and the status that whoever is let in gets. `linked`: a signed
    link of the image lets in there."""

    needs: str
    verb: str
    path: str
    status: int
    linked: bool = False

    def status_for(self, *, own: bool) -> int:
        """The status for whoever is let in. What belongs to others is not there for those with `own`."""
        return 404 if own and self.path.startswith("/images/") and self.status == 200 else self.status


def pages(image: str) -> list[Page]:
    """Every kind of path of plain HTTP, with an image that is there."""
    one = f"/images/{image}"
    return [
        Page("read", "GET", one, 200, linked=True),
        Page("read", "HEAD", one, 200, linked=True),
        Page("read", "GET", f"{one}?width=8", 200),
        Page("read", "GET", f"/images/{NOWHERE}", 404),
        Page("read", "GET", "/images/", 404),
        Page("read", "PUT", one, 405, linked=True),
        Page("read", "DELETE", one, 405, linked=True),
        Page("read", "POST", one, 405, linked=True),
        Page("none", "GET", "/", 200),
        Page("none", "HEAD", "/", 200),
        Page("none", "GET", "/nowhere", 404),
        Page("none", "GET", "/user.UsuarioServicio/GetUser", 405),
        Page("none", "GET", "/conexiones.v1.AdminService/ListTokens", 405),
    ]
