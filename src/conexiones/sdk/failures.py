"""The errors that a client raises: those of the server, rebuilt, and the few that arise only in a client.

    ConexionesError
    ├── Unavailable
    │   └── ConnectionLost          the connection broke, or no byte came for too long
    │       └── Unreachable         the server has never answered
    ├── DeadlineExceeded
    │   └── NoProgress              retried for as long as `patience` allows
    ├── FailedPrecondition
    │   └── SourceChanged           the source is not what it was when the upload began
    ├── Unimplemented
    │   └── ServerTooOld            the server did not know a field of the request, and sent something else
    ├── PermissionDenied
    │   └── PermissionDenied        from a proxy in between
    ├── Unauthenticated
    │   └── Unauthenticated         from a proxy in between
    └── UnknownError                UNKNOWN, or a code that gRPC does not define

If a newer server sends a reason that this client does not know, the error is of the branch of its code, for
example `errors.FailedPrecondition`, with the server's sentence as its message.
"""

import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, LocalizedMessage, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status

from conexiones import errors
from conexiones.errors import Code, ConexionesError
from conexiones.gen.conexiones.v1.errors_pb2 import Failure
from conexiones.gen.user_pb2 import Error


class ConnectionLost(errors.Unavailable):
    """Facts: `why`, in the words of gRPC or of this client. `address` is that of the server, if it is known:
    another one of several may be in use by now."""

    address = ""
    english = "The connection to the server was lost: {why}."
    spanish = "Se perdió la conexión con el servidor: {why}."


class Stalled(ConnectionLost):
    """No byte came for `timeout` seconds; the connection may be dead although no error was reported."""


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
    """Repeats the server's sentence, for an error for which this client has none."""

    reason = ""
    english = "{sentence}"
    spanish = "{frase}"


class PermissionDenied(_Said, errors.PermissionDenied):
    pass


class Unauthenticated(_Said, errors.Unauthenticated):
    pass


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

# Our server always sends a reason. If one of these codes comes without one, gRPC itself or a proxy made it up
# because a connection broke.
_BROKEN = {Code.UNAVAILABLE, Code.INTERNAL, Code.UNKNOWN, Code.CANCELLED}


def release(error: BaseException | None) -> None:
    """Lets go of what gRPC's frames in an error, and in all those before it, refer to.

    They hold the call for as long as the error lives, and gRPC could not end before a fork (forks.py). Our
    own functions let go of calls themselves: their frames may be those of another task, which goes on.
    """
    seen: set[int] = set()
    chain = [error]
    while chain:
        one = chain.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        chain += [one.__cause__, one.__context__]
        for frame, _ in traceback.walk_tb(one.__traceback__):
            if str(frame.f_globals.get("__name__")).partition(".")[0] == "grpc":
                with suppress(RuntimeError):  # it is being executed
                    frame.clear()


def from_rpc(error: grpc.aio.AioRpcError) -> ConexionesError:
    """The error of a failed call."""
    found = _from_rpc(error)
    found.request_id = found.request_id or _request_id(error)
    return found


def _request_id(error: grpc.aio.AioRpcError) -> str:
    """What the headers say, also where the details are not the server's."""
    headers = [*(error.initial_metadata() or ()), *(error.trailing_metadata() or ())]
    ids = [value for name, value in headers if name == "x-request-id" and isinstance(value, str)]
    return ids[0] if ids else ""


def _from_rpc(error: grpc.aio.AioRpcError) -> ConexionesError:
    code = Code(error.code().value[0])
    sentence = error.details() or ""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            try:
                status = Status.FromString(value if isinstance(value, bytes) else value.encode())
            except DecodeError:
                continue
            return from_status(code, status.message or sentence, status.details)
    if code in _BROKEN:
        return ConnectionLost(why=_brief(sentence))
    return from_fields(code, "", sentence, ())


def from_status(code: int, message: str, details: Iterable[Any]) -> ConexionesError:
    """The error with this status."""
    details = tuple(details)
    return from_fields(code, _reason(details), message, details)


def from_fields(code: int, reason: str, message: str, details: Iterable[Any]) -> ConexionesError:
    """The error with this code and reason, and the facts that `details` have for it."""
    info, local, bad, retry = ErrorInfo(), LocalizedMessage(), BadRequest(), RetryInfo()
    request = RequestInfo()
    for detail in details:
        for known in (info, local, bad, retry, request):
            detail.Unpack(known)
    field = bad.field_violations[0].field if bad.field_violations else ""
    error = _rebuilt(code, reason, message, field=field, facts=info.metadata, mensaje=local.message)
    error.request_id = request.request_id
    if retry.HasField("retry_delay"):
        error.retry_after = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    return error


def from_told(told: Error | Failure) -> ConexionesError:
    """The error that a reply tells. The fields say all of it; older servers have only the details."""
    if not told.mensaje:
        return from_fields(told.code, told.reason, told.message, told.details)
    error = _rebuilt(
        told.code, told.reason, told.message, field=told.field, facts=told.facts, mensaje=told.mensaje
    )
    if told.HasField("retry_delay"):
        error.retry_after = told.retry_delay.seconds + told.retry_delay.nanos / 1e9
    request = RequestInfo()
    error.request_id = next((request.request_id for each in told.details if each.Unpack(request)), "")
    return error


def _rebuilt(
    code: int, reason: str, message: str, *, field: str, facts: Mapping[str, str], mensaje: str
) -> ConexionesError:
    kind = errors.BY_REASON.get(reason)
    if kind is not None:
        # A checksum is the only fact that may consist of digits and yet is no number.
        numbers = not issubclass(kind, errors.ChecksumMismatch)
        read: dict[str, int | str] = {
            name: int(fact) if numbers and re.fullmatch(r"-?[0-9]{1,19}", fact) else fact
            for name, fact in facts.items()
        }
        try:
            return kind(field=field, **read)
        except (KeyError, TypeError):
            pass  # Another version of the server has other facts for this reason.
    try:
        known_code = Code(code)
    except ValueError:
        known_code = Code.UNKNOWN
    sentence = message or f"The call failed with {known_code.name}."
    return _BY_CODE.get(known_code, UnknownError)(sentence=sentence, frase=mensaje or sentence)


@contextmanager
def translated() -> Iterator[None]:
    """Turns the errors of gRPC into ours."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise from_rpc(error) from error


def worth_retrying(error: ConexionesError) -> bool:
    """Whether a retry, from the offset that the server has, may succeed."""
    if isinstance(error, NoProgress):
        return False
    return isinstance(
        error,
        errors.Unavailable
        | errors.OffsetMismatch
        | errors.ChecksumMismatch
        | errors.DeadlineExceeded
        | errors.UploadIncomplete
        | errors.TooManyUploads
        | errors.RateExceeded
        | errors.UploadBytesExceeded,
    )


def _reason(details: Iterable[Any]) -> str:
    info = ErrorInfo()
    return next((info.reason for detail in details if detail.Unpack(info)), "")


_LAYERS = re.compile(
    r"^(?:[A-Z_]+: )?(?:ipv[46]:[^ ]+: |unix:.*?/wire: )?(?:connect failed: addr: .*? error: )?"
)
"""A prefix with the code's name and the address, as in "UNKNOWN: ipv4:127.0.0.1:1: Failed to connect". The
address may be the socket of a recorder, which is named `wire`."""


def _brief(why: str) -> str:
    """The innermost of gRPC's nested error texts, without its prefix."""
    last = _LAYERS.sub("", why.rpartition("last error: ")[2])
    return last.rstrip(". ") or "it ended without a status"
