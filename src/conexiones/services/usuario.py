"""The tutorial's service, user.UsuarioServicio: see proto/user.proto for what each call promises."""

from collections.abc import AsyncIterator

from conexiones.domain.describing import Describing
from conexiones.domain.images import Images
from conexiones.domain.names import UserName
from conexiones.domain.users import Registered, Users, square, square32
from conexiones.errors import (
    BlobCorrupt,
    ConexionesError,
    FormatNotGranted,
    ImageNotFound,
    InvalidArgument,
    NoPreview,
    PowOverflow,
    QuotaExceeded,
    ServerBusy,
    TicketUsedUp,
)
from conexiones.gen.user_pb2 import (
    GetAllReply,
    GetImage,
    GetImageReply,
    GetUserReply,
    GetUserRequest,
    ImageInfo,
    User,
)
from conexiones.ports.records import Facts, ImageRecord, UserRecord
from conexiones.services.context import Context
from conexiones.services.details import as_message
from conexiones.services.messages import timestamp

REFUSALS = (InvalidArgument, QuotaExceeded, TicketUsedUp, FormatNotGranted)
"""The errors of one message of a stream, which goes on after it."""


class UsuarioService:
    def __init__(self, users: Users, images: Images, describing: Describing) -> None:
        self._users = users
        self._images = images
        self._describing = describing

    async def get_user(self, request: GetUserRequest, call: Context, /) -> GetUserReply:
        found = await self._users.register(
            request.name, pow=request.pow, image=request.image, by=call.principal
        )
        _tell(call, found, stored=bool(request.image))
        return GetUserReply(
            message=_greeting(found),
            user=_user(found.user),
            image_info=_image(found.image) if found.image else None,
        )

    async def process_image(self, request: GetUserRequest, call: Context, /) -> GetUserReply:
        image = await self._images.add(request.image, by=call.principal, user=UserName.optional(request.name))
        call.changed("image.stored", image.id)
        _drop_image(request, call)
        try:
            facts = await self._describing.of(image, caller=call.caller)
        except ConexionesError:
            facts = None  # the image is stored all the same, and is described later
        return GetUserReply(message=f"Imagen procesada: {_in_words(image)}.", image_info=_image(image, facts))

    async def get_stream_image(self, requests: AsyncIterator[GetImage], call: Context, /) -> GetUserReply:
        image = await self._images.receive(_fragments(requests), by=call.principal)
        call.changed("image.stored", image.id)
        return GetUserReply(message=f"Imagen recibida: {_in_words(image)}.", image_info=_image(image))

    async def get_user_bidi_stream(
        self, requests: AsyncIterator[GetUserRequest], call: Context, /
    ) -> AsyncIterator[GetAllReply]:
        async for request in requests:
            reply = await self._exchange(request, call)
            del request
            yield reply

    async def store_one(self, request: GetImage, call: Context, /) -> GetImageReply:
        """The reply to one image of ImageStreamReply."""
        try:
            image = await self._images.add(request.image, by=call.principal)
        except REFUSALS as error:
            call.refused(error)
            return GetImageReply(message=f"Imagen rechazada. {error.mensaje}", error=as_message(error))
        call.changed("image.stored", image.id)
        return GetImageReply(message=f"Imagen recibida: {_in_words(image)}.", image_info=_image(image))

    async def _exchange(self, request: GetUserRequest, call: Context) -> GetAllReply:
        errors: list[ConexionesError] = []
        try:
            found = await self._users.register(
                request.name, pow=request.pow, image=request.image, by=call.principal
            )
        except REFUSALS as error:
            call.refused(error)
            return GetAllReply(
                name=request.name,
                errors=[as_message(error)],
                message=f"Solicitud rechazada. {error.mensaje}",
            )
        _tell(call, found, stored=bool(request.image))
        _drop_image(request, call)
        result, preview = 0, b""
        try:
            result = square32(found.user.pow)
        except PowOverflow as error:
            errors.append(error)
        try:
            preview = await self._images.preview(found.image, caller=call.caller) if found.image else b""
        except (BlobCorrupt, ImageNotFound, NoPreview, ServerBusy) as error:
            errors.append(error)
        return GetAllReply(
            name=found.user.name,
            pow=result,
            image=preview,
            user=_user(found.user),
            image_info=_image(found.image) if found.image else None,
            errors=[as_message(error) for error in errors],
            message=" ".join([_greeting(found), *(error.mensaje for error in errors)]),
        )


def _tell(call: Context, found: Registered, *, stored: bool) -> None:
    """Tells the audit log of a user, and of the image if it was `stored` with it."""
    if stored and found.image:
        call.changed("image.stored", found.image.id)
    call.changed("user.registered", found.user.name)


def _drop_image(request: GetUserRequest, call: Context) -> None:
    """Lets go of an image of up to 64 MiB, which is stored, before waiting for a decoder."""
    request.ClearField("image")
    call.release()


async def _fragments(requests: AsyncIterator[GetImage]) -> AsyncIterator[bytes | memoryview]:
    async for request in requests:
        fragment = request.image
        del request  # a stream that waits holds none of what it has had
        yield fragment
        del fragment


def _greeting(found: Registered) -> str:
    user = found.user
    text = f"¡Hola, {user.name}! Tu pow es {user.pow} y su cuadrado es {square(user.pow)}."
    return f"{text} Tu imagen: {_in_words(found.image)}." if found.image else text


def _in_words(image: ImageRecord) -> str:
    """The image as a part of a sentence."""
    pixels = image.width * image.height
    frames = f", {image.frames} fotogramas" if image.frames > 1 else ""
    return (
        f"{image.format} de {image.width} × {image.height} ({pixels} píxeles{frames}),"
        f" {image.size} bytes, id {image.id}"
    )


def _user(user: UserRecord) -> User:
    return User(
        name=user.name,
        pow=user.pow,
        pow_squared=square(user.pow),
        image_id=user.image_id or "",
        create_time=timestamp(user.create_time),
        update_time=timestamp(user.update_time),
    )


def _image(image: ImageRecord, facts: Facts | None = None) -> ImageInfo:
    return ImageInfo(
        id=image.id,
        format=image.format,
        width=image.width,
        height=image.height,
        frames=image.frames,
        pixels=image.width * image.height,
        size_bytes=image.size,
        sha256=image.digest,
        create_time=timestamp(image.create_time),
        color_space=facts.color_space if facts else "",
        dominant_color=facts.dominant_color if facts else "",
        blur_hash=facts.blur_hash if facts else "",
    )
