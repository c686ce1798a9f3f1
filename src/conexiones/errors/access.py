"""Who calls is not known, or may not do this, or has done too much."""

from conexiones.codes import Code
from conexiones.errors.base import ConexionesError
from conexiones.errors.requests import NotFound
from conexiones.errors.serving import PermissionDenied, ResourceExhausted


class Unauthenticated(ConexionesError):
    """Who calls is not known. No answer says more of a secret than whoever has the whole of it may know.

    credential: the id of a token, ticket or session that is good no more, for the audit log alone.
    """

    code = Code.UNAUTHENTICATED
    credential = ""


class NoCredentials(Unauthenticated):
    reason = "NO_CREDENTIALS"
    english = "This call needs a credential: send a token, as authorization: Bearer."
    spanish = "Esta llamada necesita una credencial: envía un token, como authorization: Bearer."


class TokenMistyped(Unauthenticated):
    """The checksum in the token shows that it was never made by any server."""

    reason = "TOKEN_MISTYPED"
    english = "This is not a whole token: a character is wrong or missing."
    spanish = "Esto no es un token completo: hay un carácter equivocado o falta alguno."


class TokenUnknown(Unauthenticated):
    reason = "TOKEN_UNKNOWN"
    english = "The server does not know this credential."
    spanish = "El servidor no conoce esta credencial."


class TokenExpired(Unauthenticated):
    reason = "TOKEN_EXPIRED"
    english = "The credential has expired."
    spanish = "La credencial ha caducado."


class TokenRevoked(Unauthenticated):
    reason = "TOKEN_REVOKED"
    english = "The credential was revoked."
    spanish = "La credencial fue revocada."


class LinkInvalid(Unauthenticated):
    reason = "LINK_INVALID"
    english = "The link was not signed by this server, or was changed since."
    spanish = "El enlace no lo firmó este servidor, o se cambió después."


class LinkExpired(Unauthenticated):
    reason = "LINK_EXPIRED"
    english = "The link has expired."
    spanish = "El enlace ha caducado."


class ScopeMissing(PermissionDenied):
    reason = "SCOPE_MISSING"
    english = "The credential does not have the scope `{scope}`, which this call needs."
    spanish = "La credencial no tiene el permiso `{scope}`, que esta llamada necesita."


class FormatNotGranted(PermissionDenied):
    reason = "FORMAT_NOT_GRANTED"
    english = "The ticket is not for images of the format {format}."
    spanish = "El pase no vale para imágenes de formato {format}."


_UNITS = {
    "bytes": "bytes",
    "images": "imágenes",
    "uploads": "subidas abiertas",
    "tokens": "tokens",
    "tickets": "pases",
    "sessions": "sesiones",
    "certificates": "certificados",
    "calls": "llamadas",
    "credentials": "credenciales equivocadas",
}


class QuotaExceeded(ResourceExhausted):
    """`unit` is "bytes", "images", "uploads", "tokens", "tickets", "sessions" or "certificates"; `actual` is
    what there would be."""

    reason = "QUOTA_EXCEEDED"
    english = "You may have {limit} {unit}, not {actual}: delete some, or ask for a larger quota."
    spanish = "Puedes tener {limit} {unit}, no {actual}: borra algo o pide una cuota mayor."

    @property
    def mensaje(self) -> str:
        return self.spanish.format_map({**self.facts, "unit": _UNITS[str(self.facts["unit"])]})


class TicketUsedUp(ResourceExhausted):
    """`unit` is "bytes" or "images"; `actual` is what would be stored with the ticket."""

    reason = "TICKET_USED_UP"
    english = "The ticket is for {limit} {unit} in all, not for {actual}."
    spanish = "El pase vale para {limit} {unit} en total, no para {actual}."

    @property
    def mensaje(self) -> str:
        return self.spanish.format_map({**self.facts, "unit": _UNITS[str(self.facts["unit"])]})


class RateExceeded(ResourceExhausted):
    """`unit` is "calls", "bytes" or "credentials", the wrong ones that came from the caller's address."""

    reason = "RATE_EXCEEDED"
    english = "Too many {unit} in a short time: at most {limit} in {seconds} seconds."
    spanish = "Es demasiado en poco tiempo: {limit} {unit} como máximo en {seconds} segundos."
    retry_after = 1.0

    @property
    def mensaje(self) -> str:
        return self.spanish.format_map({**self.facts, "unit": _UNITS[str(self.facts["unit"])]})


class TokenNotFound(NotFound):
    reason = "TOKEN_NOT_FOUND"
    english = "There is no token with this id."
    spanish = "No hay ningún token con este id."
