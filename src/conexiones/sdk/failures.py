"""Errors as they come back: the server's, rebuilt, and the few that only a client can have.

    ConexionesError
    ├── Unavailable
    │   └── ConnectionLost          the connection broke, or no byte came for too long
    │       └── Unreachable         there never was one
    ├── DeadlineExceeded
    │   └── NoProgress              tried again for as long as `patience` says
    ├── FailedPrecondition
    │   └── SourceChanged           the source is not what it was when the upload began
    ├── Unimplemented
    │   └── ServerTooOld            the server does not know what it was asked for, and sent something else
    ├── PermissionDenied            PERMISSION_DENIED, from a proxy in between
    ├── Unauthenticated             UNAUTHENTICATED, likewise
    └── UnknownError                UNKNOWN, or a code that is none

An error of the server whose reason this client does not know (a newer server) is of the branch that its
code has, `errors.FailedPrecondition` for example, and says what the server said.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, LocalizedMessage
from google.rpc.status_pb2 import Status

from conexiones import errors
from conexiones.errors import Code, ConexionesError


class ConnectionLost(errors.Unavailable):
    """Facts: `why`, as gRPC or this client saw it."""

    english = "The connection to the server was lost: {why}."
    spanish = "Se perdió la conexión con el servidor: {why}."


class Stalled(ConnectionLost):
    """No byte came for `timeout` seconds; the connection may be dead though nothing said so."""


class Unreachable(ConnectionLost):
    english = "No server answers at {address}: {why}."
    spanish = "Ningún servidor responde en {address}: {why}."


class NoProgress(errors.DeadlineExceeded):
    """The cause is the last failure."""

    reason = ""
    english = "Gave up after {seconds} seconds without progress. {last}"
    spanish = "Se abandonó tras {seconds} segundos sin avance. {last}"


class SourceChanged(errors.FailedPrecondition):
    english = "The source changed meanwhile: {what}."
    spanish = "El origen cambió entretanto: {what}."


class ServerTooOld(errors.Unimplemented):
    english = "The server is too old to make renditions."
    spanish = "El servidor es demasiado antiguo para hacer otras versiones de una imagen."


class _Said:
    """Says what the server said, where this client has no sentence of its own."""

    reason = ""
    english = "{sentence}"
    spanish = "{frase}"


class PermissionDenied(_Said, ConexionesError):
    code = Code.PERMISSION_DENIED


class Unauthenticated(_Said, ConexionesError):
    code = Code.UNAUTHENTICATED


class UnknownError(_Said, ConexionesError):
    code = Code.UNKNOWN


def _branches() -> Iterator[tuple[Code, type[ConexionesError]]]:
    for branch in (
        errors.InvalidArgument,
        errors.NotFound,
        errors.AlreadyExists,
        errors.Aborted,
        errors.OutOfRange,
        errors.FailedPrecondition,
        errors.ResourceExhausted,
        errors.Unavailable,
        errors.Cancelled,
        errors.DeadlineExceeded,
        errors.Unimplemented,
        errors.DataLoss,
        errors.Internal,
    ):
        yield branch.code, type(branch.__name__, (_Said, branch), {"__doc__": branch.__doc__})
    for other in (PermissionDenied, Unauthenticated, UnknownError):
        yield other.code, other


_BY_CODE = dict(_branches())

# Our server always says a reason. One of these codes without any is the doing of gRPC itself or of a proxy:
# a connection that broke, in whichever of its ways.
_BROKEN = {Code.UNAVAILABLE, Code.INTERNAL, Code.UNKNOWN, Code.CANCELLED}


def from_rpc(error: grpc.aio.AioRpcError) -> ConexionesError:
    """The error of a failed call."""
    code = Code(error.code().value[0])
    sentence = error.details() or ""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            try:
                status = Status.FromString(value if isinstance(value, bytes) else value.encode())
            except DecodeError:
                continue
            return from_fields(code, _reason(status.details), status.message or sentence, status.details)
    if code in _BROKEN:
        return ConnectionLost(why=_brief(sentence))
    return from_fields(code, "", sentence, ())


def from_fields(code: int, reason: str, message: str, details: Iterable[Any]) -> ConexionesError:
    """The error with this code and reason, and the facts that `details` have for it."""
    info, local, bad = ErrorInfo(), LocalizedMessage(), BadRequest()
    for detail in details:
        for known in (info, local, bad):
            detail.Unpack(known)
    kind = errors.BY_REASON.get(reason)
    if kind is not None:
        # Only of a checksum are the facts digits that are no number.
        numbers = not issubclass(kind, errors.ChecksumMismatch)
        facts: dict[str, int | str] = {
            name: int(fact) if numbers and re.fullmatch(r"-?\d+", fact) else fact
            for name, fact in info.metadata.items()
        }
        field = bad.field_violations[0].field if bad.field_violations else ""
        try:
            return kind(field=field, **facts)
        except (KeyError, TypeError):
            pass  # Another version of the server knows other facts.
    try:
        known_code = Code(code)
    except ValueError:
        known_code = Code.UNKNOWN
    sentence = message or f"The call failed with {known_code.name}."
    return _BY_CODE.get(known_code, UnknownError)(sentence=sentence, frase=local.message or sentence)


@contextmanager
def translated() -> Iterator[None]:
    """Turns the errors of gRPC into ours."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise from_rpc(error) from error


def worth_retrying(error: ConexionesError) -> bool:
    """Whether the same again, from where the server is, may do."""
    if isinstance(error, NoProgress):
        return False
    return isinstance(
        error,
        errors.Unavailable
        | errors.OffsetMismatch
        | errors.ChecksumMismatch
        | errors.DeadlineExceeded
        | errors.UploadIncomplete
        | errors.TooManyUploads,
    )


def _reason(details: Iterable[Any]) -> str:
    info = ErrorInfo()
    return next((info.reason for detail in details if detail.Unpack(info)), "")


_LAYERS = re.compile(r"^(?:[A-Z]+: )?(?:ipv[46]:[^ ]+: )?")
"""A code's name, and an address that is said already: "UNKNOWN: ipv4:127.0.0.1:1: Failed to …"."""


def _brief(why: str) -> str:
    """gRPC's words without the layers around them."""
    last = _LAYERS.sub("", why.rpartition("last error: ")[2])
    return last.rstrip(". ") or "it ended without a status"
