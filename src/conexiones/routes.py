"""Every RPC that the server has: its handler, and what is special about it."""

from conexiones.services import health, reflection
from conexiones.services.health import HealthService
from conexiones.services.images import ImageService
from conexiones.services.reflection import ReflectionService
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

SERVICES = (USUARIO, UPLOADS, IMAGES, STATUS, health.SERVICE)
"""The services that health and reflection know."""

STREAMING_METHOD = f"/{USUARIO}/GetStreamImage"
"""The method that takes images which are too large for one message."""


def usuario_routes(usuario: UsuarioService, limit: MessageLimit) -> dict[str, Route]:
    return service(
        USUARIO,
        {
            "GetUser": usuario.get_user,
            "ProcessImage": usuario.process_image,
            "GetStreamImage": Handled(handler=usuario.get_stream_image, pieces=True),
            "ImageStreamReply": Pipeline(usuario.store_one, size=lambda request: len(request.image)),
            "GetUserBidiStream": usuario.get_user_bidi_stream,
        },
        limit,
    )


def upload_routes(uploads: UploadService, limit: MessageLimit) -> dict[str, Route]:
    return service(
        UPLOADS,
        {
            "GetLimits": uploads.get_limits,
            "CreateUpload": uploads.create_upload,
            "WriteChunk": uploads.write_chunk,
            "WriteStream": uploads.write_stream,
            "GetUpload": uploads.get_upload,
            "FinishUpload": uploads.finish_upload,
            "CancelUpload": uploads.cancel_upload,
        },
        limit,
    )


def image_routes(images: ImageService, limit: MessageLimit) -> dict[str, Route]:
    return service(
        IMAGES,
        {
            "GetImage": images.get_image,
            "ListImages": images.list_images,
            "DeleteImage": images.delete_image,
            "DownloadImage": images.download_image,
            "WatchImages": Handled(handler=images.watch_images, exempt={"drain"}),  # it never ends by itself
        },
        limit,
    )


def status_routes(status: StatusService, limit: MessageLimit) -> dict[str, Route]:
    return service(STATUS, {"GetStatus": status.get_status}, limit)


def health_routes(checks: HealthService, limit: MessageLimit) -> dict[str, Route]:
    """Questions about health are answered even while the server drains or is busy."""
    return service(
        health.SERVICE,
        {
            "Check": Handled(handler=checks.check, exempt={"admission"}),
            "List": Handled(handler=checks.list_all, exempt={"admission"}),
            "Watch": Handled(handler=checks.watch, exempt={"admission"}),
        },
        limit,
    )


def reflection_routes(described: ReflectionService, limit: MessageLimit) -> dict[str, Route]:
    return {
        **service(reflection.CURRENT, {"ServerReflectionInfo": described.current}, limit),
        **service(reflection.ALPHA, {"ServerReflectionInfo": described.alpha}, limit),
    }
