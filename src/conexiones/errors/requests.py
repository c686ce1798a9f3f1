"""What is wrong with a request: by itself, or by what is stored."""

from typing import Literal, cast

from conexiones.codes import Code
from conexiones.errors.base import ConexionesError
from conexiones.spanish import in_spanish


class InvalidArgument(ConexionesError):
    """The request is wrong, whatever the state of the server."""

    code = Code.INVALID_ARGUMENT


class EmptyName(InvalidArgument):
    reason = "EMPTY_NAME"
    english = "The name is empty: send 1 to {limit} characters."
    spanish = "El nombre está vacío: envía de 1 a {limit} caracteres."


class NameTooLong(InvalidArgument):
    reason = "NAME_TOO_LONG"
    english = "The name has {actual} characters: at most {limit} are allowed."
    spanish = "El nombre tiene {actual} caracteres: se permiten {limit} como máximo."


class InvalidUtf8(InvalidArgument):
    reason = "INVALID_UTF8"
    english = "A text field is not valid UTF-8."
    spanish = "Un campo de texto no es UTF-8 válido."


class MalformedMessage(InvalidArgument):
    reason = "MALFORMED_MESSAGE"
    english = "The message cannot be read as {type}."
    spanish = "El mensaje no se puede leer como {type}."


class MalformedRequest(InvalidArgument):
    """The request breaks the protocol around its messages: framing, headers, compression."""

    reason = "MALFORMED_REQUEST"
    english = "The request breaks the protocol it claims to speak."
    spanish = "La petición no cumple el protocolo que dice usar."


class InvalidField(InvalidArgument):
    """A field has a value that makes no sense; `field` names it."""

    reason = "INVALID_FIELD"
    english = "`{field}` takes {takes}."
    spanish = "`{field}` admite {takes}."

    @property
    def mensaje(self) -> str:
        return self.spanish.format(field=self.field, takes=in_spanish(str(self.facts["takes"])))


class SizeExceeded(InvalidArgument):
    reason = "SIZE_EXCEEDED"
    english = "The upload was announced with {limit} bytes; {actual} do not fit."
    spanish = "La subida se anunció con {limit} bytes; {actual} no caben."


class ImageError(InvalidArgument):
    """An image is refused. Facts, where they apply: `format`, `limit`, `actual`, `unit`."""


class EmptyImage(ImageError):
    reason = "EMPTY_IMAGE"
    english = "The image is empty."
    spanish = "La imagen está vacía."


class EmptyStream(ImageError):
    reason = "EMPTY_STREAM"
    english = "The image is empty: not one byte of it came."
    spanish = "La imagen está vacía: no llegó ni un byte de ella."


class NotAnImage(ImageError):
    reason = "NOT_AN_IMAGE"
    english = "The bytes are not an image of any known format."
    spanish = "Los bytes no son una imagen de ningún formato conocido."


class UnsupportedFormat(ImageError):
    """A known format that is not accepted, for safety (SVG, PDF) or because there is no decoder for it."""

    reason = "UNSUPPORTED_FORMAT"
    english = "{format} is not accepted: send JPEG, PNG, GIF, WebP, TIFF, BMP, AVIF or HEIF."
    spanish = "No se acepta {format}: envía JPEG, PNG, GIF, WebP, TIFF, BMP, AVIF o HEIF."


class CorruptImage(ImageError):
    reason = "CORRUPT_IMAGE"
    english = "The {format} image is corrupt: its structure does not hold together."
    spanish = "La imagen {format} está dañada: su estructura no es coherente."


class TruncatedImage(ImageError):
    reason = "TRUNCATED_IMAGE"
    english = "The {format} image is truncated: its end is missing."
    spanish = "La imagen {format} está truncada: le falta el final."


class ImageTooLarge(ImageError):
    reason = "IMAGE_TOO_LARGE"
    english = "The image is larger than the limit of {limit} bytes."
    spanish = "La imagen supera el límite de {limit} bytes."


class ImageNotSmall(ImageError):
    """The image may be stored, but not by a call for small ones."""

    reason = "IMAGE_NOT_SMALL"
    english = (
        "The image has {actual} bytes, and this call takes {limit} at most:"
        " send it with CreateUpload and WriteStream."
    )
    spanish = (
        "La imagen tiene {actual} bytes y esta llamada admite {limit} como máximo:"
        " envíala con CreateUpload y WriteStream."
    )


class TooManyPixels(ImageError):
    """Width × height × frames is over the limit. Nothing was decoded to find out."""

    reason = "TOO_MANY_PIXELS"
    english = "The {format} image has {actual} pixels in all: at most {limit} are allowed."
    spanish = "La imagen {format} tiene {actual} píxeles en total: se permiten {limit} como máximo."


class NotFound(ConexionesError):
    code = Code.NOT_FOUND


class UnknownService(NotFound):
    reason = "UNKNOWN_SERVICE"
    english = "The server has no such service."
    spanish = "El servidor no tiene ese servicio."


class ImageNotFound(NotFound):
    reason = "IMAGE_NOT_FOUND"
    english = "There is no image with this id."
    spanish = "No hay ninguna imagen con este id."


class ImageDeleted(NotFound):
    """A request that was made again: its image was stored the first time, and is not there any more."""

    reason = "IMAGE_DELETED"
    english = "The image of this request_id was stored, and has been deleted since."
    spanish = "La imagen de este request_id se guardó y se ha eliminado después."


class UploadNotFound(NotFound):
    reason = "UPLOAD_NOT_FOUND"
    english = "There is no upload with this id, or it ended long ago."
    spanish = "No hay ninguna subida con este id, o terminó hace mucho."


class AlreadyExists(ConexionesError):
    code = Code.ALREADY_EXISTS


class RequestIdReused(AlreadyExists):
    reason = "REQUEST_ID_REUSED"
    english = "This request_id belongs to another upload: make up a new one."
    spanish = "Este request_id es de otra subida: usa uno nuevo."


class Aborted(ConexionesError):
    """The state on the server is not the one that the request assumed: ask for it, and go on from there."""

    code = Code.ABORTED


class OffsetMismatch(Aborted):
    reason = "OFFSET_MISMATCH"
    english = "The bytes are for offset {actual}, but the upload goes on at {expected}."
    spanish = "Los bytes son para la posición {actual}, pero la subida sigue en {expected}."


class WriterFenced(Aborted):
    reason = "WRITER_FENCED"
    english = "Another writer has taken the upload."
    spanish = "Otro escritor ha tomado la subida."


class EtagMismatch(Aborted):
    reason = "ETAG_MISMATCH"
    english = "The image is not the one with this etag."
    spanish = "La imagen no es la de este etag."


class OutOfRange(ConexionesError):
    code = Code.OUT_OF_RANGE


class PowOverflow(OutOfRange):
    reason = "POW_OVERFLOW"
    english = "{pow} squared is {actual}: it does not fit in 32 bits."
    spanish = "{pow} al cuadrado es {actual}: no cabe en 32 bits."


class OffsetOutOfRange(OutOfRange):
    reason = "OFFSET_OUT_OF_RANGE"
    english = "The offset {actual} is behind the end: the image has {limit} bytes."
    spanish = "La posición {actual} está tras el final: la imagen tiene {limit} bytes."


class FailedPrecondition(ConexionesError):
    code = Code.FAILED_PRECONDITION


PreviewProblem = Literal["PIXELS", "SECONDS", "MEMORY", "CORRUPT", "CRASH", "UNSUPPORTED"]
"""Limits of pixels, time and memory; a damaged image; a decoder that died; a codec that is not there."""


class NoPreview(FailedPrecondition):
    """The image is kept and served as it is, but cannot be decoded within the limits for that."""

    reason = "NO_PREVIEW"
    english = "The {format} image is stored, but no preview can be made of it ({cause})."
    spanish = "La imagen {format} está guardada, pero no se puede hacer su vista previa ({cause})."

    @property
    def cause(self) -> PreviewProblem:
        return cast(PreviewProblem, self.facts["cause"])


class NoRendition(FailedPrecondition):
    """The same as NoPreview, for the rendition that was asked for. A smaller one may be possible."""

    reason = "NO_RENDITION"
    english = "The {format} image is stored, but this rendition of it cannot be made ({cause})."
    spanish = "La imagen {format} está guardada, pero no se puede hacer esta versión de ella ({cause})."


class UploadEnded(FailedPrecondition):
    reason = "UPLOAD_ENDED"
    english = "The upload has ended: it is {state}."
    spanish = "La subida ha terminado: está {state}."


class UploadIncomplete(FailedPrecondition):
    reason = "UPLOAD_INCOMPLETE"
    english = "The upload has {actual} of {expected} bytes: send the rest first."
    spanish = "La subida tiene {actual} de {expected} bytes: envía antes el resto."
