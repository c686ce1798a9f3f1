"""Every RPC that the server has: its handler, and what is special about it."""

from conexiones.services.health import SERVICE as HEALTH
from conexiones.services.health import HealthService
from conexiones.services.images import ImageService
from conexiones.services.reflection import ALPHA, CURRENT, ReflectionService
from conexiones.services.status import StatusService
from conexiones.services.uploads import UploadService
from conexiones.services.usuario import UsuarioService
from conexiones.transport.chain.call import Route
from conexiones.transport.rpc.method import Handled, Handler, MessageLimit, service
from conexiones.transport.rpc.pipeline import Pipeline

USUARIO = "user.UsuarioServicio"
UPLOADS = "conexiones.v1.UploadService"
IMAGES = "conexiones.v1.ImageService"
STATUS = "conexiones.v1.StatusService"

SERVICES = (USUARIO, UPLOADS, IMAGES, STATUS, HEALTH)
"""The services that health and reflection know."""

STREAMING_METHOD = f"/{USUARIO}/GetStreamImage"
"""The method that takes images which are too large for one message."""


def routes(
    *,
    usuario: UsuarioService,
    uploads: UploadService,
    images: ImageService,
    status: StatusService,
    health: HealthService,
    reflection: ReflectionService | None,
    limit: MessageLimit,
) -> dict[str, Route]:
    """The routes of all RPCs by their paths."""
    handlers: dict[str, dict[str, Handler | Handled]] = {
        USUARIO: {
            "GetUser": usuario.get_user,
            "ProcessImage": usuario.process_image,
            "GetStreamImage": Handled(handler=usuario.get_stream_image, pieces=True),
            "ImageStreamReply": Pipeline(usuario.store_one, size=lambda request: len(request.image)),
            "GetUserBidiStream": usuario.get_user_bidi_stream,
        },
        UPLOADS: {
            "GetLimits": uploads.get_limits,
            "CreateUpload": uploads.create_upload,
            "WriteChunk": uploads.write_chunk,
            "WriteStream": uploads.write_stream,
            "GetUpload": uploads.get_upload,
            "FinishUpload": uploads.finish_upload,
            "CancelUpload": uploads.cancel_upload,
        },
        IMAGES: {
            "GetImage": images.get_image,
            "ListImages": Handled(handler=images.list_images, large="page"),
            "DeleteImage": images.delete_image,
            "DownloadImage": Handled(handler=images.download_image, large="stream"),
            "WatchImages": Handled(handler=images.watch_images, exempt={"drain"}),  # it never ends by itself
        },
        STATUS: {"GetStatus": status.get_status},
        # Questions about health are answered even while the server drains or is busy.
        HEALTH: {
            "Check": Handled(handler=health.check, exempt={"admission"}),
            "List": Handled(handler=health.list_all, exempt={"admission"}),
            "Watch": Handled(handler=health.watch, exempt={"admission"}),
        },
    }
    if reflection:
        handlers[CURRENT] = {"ServerReflectionInfo": reflection.current}
        handlers[ALPHA] = {"ServerReflectionInfo": reflection.alpha}
    found: dict[str, Route] = {}
    for name, methods in handlers.items():
        found |= service(name, methods, limit, prompt=True)
    return found
