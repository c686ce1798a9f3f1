"""Why a request cannot be served, or is served no longer."""

from conexiones.codes import Code
from conexiones.errors.base import ConexionesError


class ResourceExhausted(ConexionesError):
    code = Code.RESOURCE_EXHAUSTED


class MessageTooLarge(ResourceExhausted):
    reason = "MESSAGE_TOO_LARGE"
    english = (
        "The message is larger than the limit of {limit} bytes: send the image as fragments with"
        " {streaming_method}."
    )
    spanish = (
        "El mensaje supera el límite de {limit} bytes: envía la imagen en fragmentos con {streaming_method}."
    )


class TooManyUploads(ResourceExhausted):
    """The limit is that of the client's share now."""

    reason = "TOO_MANY_UPLOADS"
    english = "You may have {limit} open uploads now, not {actual}: end some, or try again later."
    spanish = (
        "Ahora puedes tener {limit} subidas abiertas, no {actual}: termina alguna o inténtalo más tarde."
    )
    retry_after = 30.0


class UploadBytesExceeded(ResourceExhausted):
    """The limit is that of the client's share now."""

    reason = "UPLOAD_BYTES_EXCEEDED"
    english = (
        "Your open uploads may have {limit} bytes together now, not {actual}: end some, or try again later."
    )
    spanish = (
        "Tus subidas abiertas pueden tener ahora {limit} bytes en total, no {actual}:"
        " termina alguna o inténtalo más tarde."
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
    spanish = "El servidor se está cerrando: vuelve a conectarte."
    retry_after = 1.0


class ServerBusy(Unavailable):
    reason = "SERVER_BUSY"
    english = "The server has no place for this call now: try again."
    spanish = "El servidor no tiene sitio para esta llamada ahora: inténtalo de nuevo."
    retry_after = 1.0


class StreamIdle(Unavailable):
    """Nothing of the request was under way, so nothing is lost."""

    reason = "STREAM_IDLE"
    english = "Nothing was asked on this stream for {limit} seconds, so it was ended: open it again."
    spanish = "No se pidió nada por este flujo en {limit} segundos y se cerró: vuelve a abrirlo."
    retry_after = 0.0


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
    english = "The client sent or read too little for {limit} seconds."
    spanish = "El cliente envió o leyó demasiado poco durante {limit} segundos."


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
    spanish = "La compresión no está soportada: envía gzip o identity."


class PermissionDenied(ConexionesError):
    """Who calls may not do this, whatever it asks for."""

    code = Code.PERMISSION_DENIED


class UnknownHost(PermissionDenied):
    reason = "UNKNOWN_HOST"
    english = "The server does not answer to the name in the Host header: --names says which it has."
    spanish = "El servidor no atiende al nombre de la cabecera Host: --names dice cuáles tiene."


class UnknownOrigin(PermissionDenied):
    reason = "UNKNOWN_ORIGIN"
    english = "Pages of this origin may not call the server: --cors-origins says which may."
    spanish = "Las páginas de este origen no pueden llamar al servidor: --cors-origins dice cuáles pueden."


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
    """Stored bytes are missing, or no longer have the digest under which they were stored; or the row of an
    image is not what was written."""

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
