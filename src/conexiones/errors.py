"""Every error of Conexiones, as a closed tree that knows no transport.

ConexionesError
├── InvalidArgument               INVALID_ARGUMENT
│   ├── EmptyName                 EMPTY_NAME
│   ├── NameTooLong               NAME_TOO_LONG
│   ├── InvalidUtf8               INVALID_UTF8
│   ├── MalformedMessage          MALFORMED_MESSAGE
│   ├── MalformedRequest          MALFORMED_REQUEST
│   ├── InvalidField              INVALID_FIELD
│   ├── SizeExceeded              SIZE_EXCEEDED
│   └── ImageError
│       ├── EmptyImage            EMPTY_IMAGE
│       ├── EmptyStream           EMPTY_STREAM
│       ├── NotAnImage            NOT_AN_IMAGE
│       ├── UnsupportedFormat     UNSUPPORTED_FORMAT
│       ├── CorruptImage          CORRUPT_IMAGE
│       ├── TruncatedImage        TRUNCATED_IMAGE
│       ├── ImageTooLarge         IMAGE_TOO_LARGE
│       └── TooManyPixels         TOO_MANY_PIXELS
├── NotFound                      NOT_FOUND
│   ├── UnknownService            UNKNOWN_SERVICE
│   ├── ImageNotFound             IMAGE_NOT_FOUND
│   └── UploadNotFound            UPLOAD_NOT_FOUND
├── AlreadyExists                 ALREADY_EXISTS
│   └── RequestIdReused           REQUEST_ID_REUSED
├── Aborted                       ABORTED
│   ├── OffsetMismatch            OFFSET_MISMATCH
│   ├── WriterFenced              WRITER_FENCED
│   └── EtagMismatch              ETAG_MISMATCH
├── OutOfRange                    OUT_OF_RANGE
│   ├── PowOverflow               POW_OVERFLOW
│   └── OffsetOutOfRange          OFFSET_OUT_OF_RANGE
├── FailedPrecondition            FAILED_PRECONDITION
│   ├── NoPreview                 NO_PREVIEW
│   ├── NoRendition               NO_RENDITION
│   ├── UploadEnded               UPLOAD_ENDED
│   └── UploadIncomplete          UPLOAD_INCOMPLETE
├── ResourceExhausted             RESOURCE_EXHAUSTED
│   ├── MessageTooLarge           MESSAGE_TOO_LARGE
│   ├── TooManyUploads            TOO_MANY_UPLOADS
│   ├── UploadBytesExceeded       UPLOAD_BYTES_EXCEEDED
│   └── StorageFull               STORAGE_FULL
├── Unavailable                   UNAVAILABLE
│   ├── ServerDraining            SERVER_DRAINING
│   ├── ServerBusy                SERVER_BUSY
│   └── StorageUnavailable        STORAGE_UNAVAILABLE
├── Cancelled                     CANCELLED
├── DeadlineExceeded              DEADLINE_EXCEEDED
│   └── ClientStalled             CLIENT_STALLED
├── Unimplemented                 UNIMPLEMENTED
│   ├── UnknownMethod             UNKNOWN_METHOD
│   ├── NotOneMessage             NOT_ONE_MESSAGE
│   └── UnknownCompression        UNKNOWN_COMPRESSION
├── Unknown                       UNKNOWN
│   └── UnknownProtocol           UNKNOWN_PROTOCOL
├── DataLoss                      DATA_LOSS
│   ├── ChecksumMismatch          CHECKSUM_MISMATCH
│   └── BlobCorrupt               BLOB_CORRUPT
└── Internal                      INTERNAL
    └── UndeclaredCompression     UNDECLARED_COMPRESSION

The words in capitals beside a leaf are its `reason`, which never changes; those beside a branch are the gRPC
code of all errors below it. An error holds only what may be shown to a client: a sentence in English, one in
Spanish, and the facts that fill them. Causes are chained (`raise … from cause`), and only the log has them.
"""

from functools import partial
from typing import Any, ClassVar, Literal, cast

from conexiones.codes import Code as Code  # beside the errors that have them
from conexiones.spanish import in_spanish


class ConexionesError(Exception):
    """The base of all errors. Only leaves of the tree are raised.

    field: the name of the offending field of the request.
    facts: fill the two sentences, and travel to programs unchanged.
    retry_after: in seconds; None where trying again does not help.
    """

    code: ClassVar[Code]
    reason: ClassVar[str] = ""
    english: ClassVar[str]
    spanish: ClassVar[str]
    retry_after: ClassVar[float | None] = None

    def __init__(self, *, field: str = "", **facts: int | str) -> None:
        self.field = field
        self.facts = facts
        super().__init__(self.message)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), field=self.field, **self.facts), ()

    @property
    def message(self) -> str:
        """The sentence in English, safe to show."""
        return self.english.format_map(self.facts)

    @property
    def mensaje(self) -> str:
        """The sentence in Spanish, safe to show."""
        return self.spanish.format_map(self.facts)


class InvalidArgument(ConexionesError):
    """The request is wrong, whatever the state of the server."""

    code = Code.INVALID_ARGUMENT


class EmptyName(InvalidArgument):
    reason = "EMPTY_NAME"
    english = "The name is empty: send 1 to {limit} characters."
    spanish = "El nombre está vacío: envíe de 1 a {limit} caracteres."


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
    english = "The field takes {takes}."
    spanish = "El campo admite {takes}."

    @property
    def mensaje(self) -> str:
        return self.spanish.format(takes=in_spanish(str(self.facts["takes"])))


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
    english = "The stream ended without a byte of an image."
    spanish = "El flujo terminó sin un solo byte de imagen."


class NotAnImage(ImageError):
    reason = "NOT_AN_IMAGE"
    english = "The bytes are not an image of any known format."
    spanish = "Los bytes no son una imagen de ningún formato conocido."


class UnsupportedFormat(ImageError):
    """A known format that is not accepted, for safety (SVG, PDF) or because there is no decoder for it."""

    reason = "UNSUPPORTED_FORMAT"
    english = "{format} is not accepted: send JPEG, PNG, GIF, WebP, TIFF, BMP, AVIF or HEIF."
    spanish = "No se acepta {format}: envíe JPEG, PNG, GIF, WebP, TIFF, BMP, AVIF o HEIF."


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


class UploadNotFound(NotFound):
    reason = "UPLOAD_NOT_FOUND"
    english = "There is no upload with this id, or it ended long ago."
    spanish = "No hay ninguna subida con este id, o terminó hace mucho."


class AlreadyExists(ConexionesError):
    code = Code.ALREADY_EXISTS


class RequestIdReused(AlreadyExists):
    reason = "REQUEST_ID_REUSED"
    english = "This request_id belongs to another upload: make up a new one."
    spanish = "Este request_id es de otra subida: use uno nuevo."


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
    spanish = "La subida tiene {actual} de {expected} bytes: envíe antes el resto."


class ResourceExhausted(ConexionesError):
    code = Code.RESOURCE_EXHAUSTED


class MessageTooLarge(ResourceExhausted):
    reason = "MESSAGE_TOO_LARGE"
    english = (
        "The message is larger than the limit of {limit} bytes: send the image as fragments with"
        " {streaming_method}."
    )
    spanish = (
        "El mensaje supera el límite de {limit} bytes: envíe la imagen en fragmentos con {streaming_method}."
    )


class TooManyUploads(ResourceExhausted):
    reason = "TOO_MANY_UPLOADS"
    english = "The server already has {limit} open uploads, as many as it may: try again later."
    spanish = "El servidor ya tiene {limit} subidas abiertas, su máximo: inténtelo más tarde."
    retry_after = 30.0


class UploadBytesExceeded(ResourceExhausted):
    reason = "UPLOAD_BYTES_EXCEEDED"
    english = "All open uploads would have {actual} bytes: at most {limit} are allowed. Try again later."
    spanish = (
        "Todas las subidas abiertas tendrían {actual} bytes: se permiten {limit} como máximo."
        " Inténtelo más tarde."
    )
    retry_after = 30.0


class StorageFull(ResourceExhausted):
    reason = "STORAGE_FULL"
    english = "The server has no space left to store this."
    spanish = "El servidor no tiene espacio para guardar esto."


class Unavailable(ConexionesError):
    """The call cannot be served now; trying again later may help."""

    code = Code.UNAVAILABLE


class ServerDraining(Unavailable):
    reason = "SERVER_DRAINING"
    english = "The server is shutting down: connect again."
    spanish = "El servidor se está cerrando: vuelva a conectarse."
    retry_after = 1.0


class ServerBusy(Unavailable):
    reason = "SERVER_BUSY"
    english = "The server already serves {limit} calls, as many as it may: try again."
    spanish = "El servidor ya atiende {limit} llamadas, su máximo: inténtelo de nuevo."
    retry_after = 1.0


class StorageUnavailable(Unavailable):
    reason = "STORAGE_UNAVAILABLE"
    english = "The server cannot reach its storage."
    spanish = "El servidor no puede acceder a su almacenamiento."
    retry_after = 1.0


class Cancelled(ConexionesError):
    code = Code.CANCELLED
    reason = "CANCELLED"
    english = "The call was cancelled."
    spanish = "La llamada fue cancelada."


class DeadlineExceeded(ConexionesError):
    code = Code.DEADLINE_EXCEEDED
    reason = "DEADLINE_EXCEEDED"
    english = "The deadline passed before the call was done."
    spanish = "El plazo venció antes de terminar la llamada."


class ClientStalled(DeadlineExceeded):
    reason = "CLIENT_STALLED"
    english = "No byte came for {limit} seconds in the middle of a message."
    spanish = "No llegó ningún byte en {limit} segundos en mitad de un mensaje."


class Unimplemented(ConexionesError):
    code = Code.UNIMPLEMENTED


class UnknownMethod(Unimplemented):
    reason = "UNKNOWN_METHOD"
    english = "The server has no such method."
    spanish = "El servidor no tiene ese método."


class NotOneMessage(Unimplemented):
    reason = "NOT_ONE_MESSAGE"
    english = "The method takes exactly one message."
    spanish = "El método admite exactamente un mensaje."


class UnknownCompression(Unimplemented):
    reason = "UNKNOWN_COMPRESSION"
    english = "The compression is not supported: send gzip or identity."
    spanish = "La compresión no está soportada: envíe gzip o identity."


class Unknown(ConexionesError):
    """What HTTP refuses by its own status: clients of gRPC and Connect take that for this code."""

    code = Code.UNKNOWN


class UnknownProtocol(Unknown):
    reason = "UNKNOWN_PROTOCOL"
    english = "The method is called by POST, with a content type of gRPC, gRPC-Web or Connect."
    spanish = "El método se llama con POST y un tipo de contenido de gRPC, gRPC-Web o Connect."


class DataLoss(ConexionesError):
    code = Code.DATA_LOSS


class ChecksumMismatch(DataLoss):
    """The bytes that came are not those that were sent. Nothing of them was kept: send them again.

    Facts: `expected` and `actual` in hexadecimal.
    """

    reason = "CHECKSUM_MISMATCH"
    english = "The {algorithm} of the bytes is {actual}, not {expected}."
    spanish = "El {algorithm} de los bytes es {actual}, no {expected}."


class BlobCorrupt(DataLoss):
    """Stored bytes are missing, or no longer have the digest under which they were stored."""

    reason = "BLOB_CORRUPT"
    english = "The stored image is damaged on the server."
    spanish = "La imagen guardada está dañada en el servidor."


class Internal(ConexionesError):
    """A defect of the server. Its log has the cause."""

    code = Code.INTERNAL
    reason = "INTERNAL"
    english = "The server failed; the cause is in its log."
    spanish = "El servidor falló; la causa está en su registro."


class UndeclaredCompression(Internal):
    """A fault of the client with the code that gRPC has for it (grpc/doc/compression.md)."""

    reason = "UNDECLARED_COMPRESSION"
    english = "A message is compressed, but the request does not say how."
    spanish = "Un mensaje está comprimido, pero la petición no dice cómo."


def leaves(root: type[ConexionesError] = ConexionesError) -> list[type[ConexionesError]]:
    """All errors that have a reason, in the order of the tree."""
    found = [root] if root.reason else []
    for child in root.__subclasses__():
        found += leaves(child)
    return found


BY_REASON: dict[str, type[ConexionesError]] = {leaf.reason: leaf for leaf in leaves()}
