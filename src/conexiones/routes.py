"""Every RPC that the server has: its handler, and what is special about it."""

from conexiones.services.admin import AdminService
from conexiones.services.health import SERVICE as HEALTH
from conexiones.services.health import HealthService
from conexiones.services.images import ImageService
from conexiones.services.reflection import ALPHA, CURRENT, ReflectionService
from conexiones.services.status import StatusService
from conexiones.services.uploads import UploadService
from conexiones.services.usuario import UsuarioService
from conexiones.transport.chain.call import Route
from conexiones.transport.rpc.method import Handled, MessageLimit, service
from conexiones.transport.rpc.pipeline import Pipeline

USUARIO = "user.UsuarioServicio"
UPLOADS = "conexiones.v1.UploadService"
IMAGES = "conexiones.v1.ImageService"
STATUS = "conexiones.v1.StatusService"
ADMIN = "conexiones.v1.AdminService"

SERVICES = (USUARIO, UPLOADS, IMAGES, STATUS, ADMIN, HEALTH)
"""The services that health and reflection know."""

STREAMING_METHOD = f"/{USUARIO}/GetStreamImage"
"""The method that takes images which are too large for one message."""


def routes(
    *,
    usuario: UsuarioService,
    uploads: UploadService,
    images: ImageService,
    status: StatusService,
    admin: AdminService,
    health: HealthService,
    reflection: ReflectionService | None,
    limit: MessageLimit,
) -> dict[str, Route]:
    """The routes of all RPCs by their paths."""
    handlers: dict[str, dict[str, Handled]] = {
        USUARIO: {
            "GetUser": Handled(handler=usuario.get_user, needs="write"),
            "ProcessImage": Handled(handler=usuario.process_image, needs="write", ticketed=True),
            "GetStreamImage": Handled(
                handler=usuario.get_stream_image, needs="write", ticketed=True, pieces=True
            ),
            "ImageStreamReply": Handled(
                handler=Pipeline(usuario.store_one, size=lambda request: len(request.image)),
                needs="write",
                ticketed=True,
            ),
            "GetUserBidiStream": Handled(handler=usuario.get_user_bidi_stream, needs="write"),
        },
        UPLOADS: {
            "GetLimits": Handled(handler=uploads.get_limits, needs="any"),
            "CreateUpload": Handled(handler=uploads.create_upload, needs="write", ticketed=True),
            "WriteChunk": Handled(handler=uploads.write_chunk, needs="write", ticketed=True),
            "WriteStream": Handled(handler=uploads.write_stream, needs="write", ticketed=True),
            "GetUpload": Handled(handler=uploads.get_upload, needs="write", ticketed=True),
            "FinishUpload": Handled(handler=uploads.finish_upload, needs="write", ticketed=True),
            "UploadImage": Handled(handler=uploads.upload_image, needs="write", ticketed=True),
            "UploadImages": Handled(
                handler=Pipeline(uploads.store_one, size=lambda request: len(request.image)),
                needs="write",
                ticketed=True,
            ),
            "CreateTicket": Handled(handler=uploads.create_ticket, needs="write"),
            "CancelUpload": Handled(handler=uploads.cancel_upload, needs="write", ticketed=True),
        },
        IMAGES: {
            "GetImage": Handled(handler=images.get_image, needs="read"),
            "ListImages": Handled(handler=images.list_images, needs="read", large="page"),
            "SignImageUrl": Handled(handler=images.sign_image_url, needs="read"),
            "DeleteImage": Handled(handler=images.delete_image, needs="delete"),
            "DownloadImage": Handled(handler=images.download_image, needs="read", large="stream"),
            "WatchImages": Handled(
                handler=images.watch_images, needs="read", exempt={"drain"}
            ),  # it never ends by itself
        },
        ADMIN: {
            "CreateToken": Handled(handler=admin.create_token, needs="admin"),
            "ListTokens": Handled(handler=admin.list_tokens, needs="admin"),
            "RevokeToken": Handled(handler=admin.revoke_token, needs="admin"),
            "RotateLinkKey": Handled(handler=admin.rotate_link_key, needs="admin"),
        },
        STATUS: {"GetStatus": Handled(handler=status.get_status, needs="read")},
        # Questions about health are answered even while the server drains or is busy.
        HEALTH: {
            "Check": Handled(handler=health.check, needs="none", exempt={"admission"}),
            "List": Handled(handler=health.list_all, needs="none", exempt={"admission"}),
            "Watch": Handled(handler=health.watch, needs="none", exempt={"admission"}),
        },
    }
    if reflection:
        handlers[CURRENT] = {"ServerReflectionInfo": Handled(handler=reflection.current, needs="none")}
        handlers[ALPHA] = {"ServerReflectionInfo": Handled(handler=reflection.alpha, needs="none")}
    found: dict[str, Route] = {}
    for name, methods in handlers.items():
        found |= service(name, methods, limit, prompt=True)
    return found
