"""Errors as protobuf: the typed details of each, the `Error` in the reply of a stream, and the `Failure` of
an upload. These two have what is in the details as fields of their own, too.

Every error carries google.rpc.ErrorInfo (reason, domain, facts) and google.rpc.LocalizedMessage (the sentence
in Spanish). An error that names a field also carries BadRequest, one that is worth retrying RetryInfo, one of
an image conexiones.v1.ImageProblem, one of a message's size conexiones.v1.MessageTooLarge, and so on. What is
told in answer to a request also carries RequestInfo, with the id that the log has, too.
"""

import typing

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import (
    BadRequest,
    ErrorInfo,
    LocalizedMessage,
    QuotaFailure,
    RequestInfo,
    RetryInfo,
)

from conexiones import errors
from conexiones.gen.conexiones.v1.errors_pb2 import (
    ChecksumMismatch,
    Failure,
    ImageProblem,
    MessageTooLarge,
    OffsetMismatch,
    WriterFenced,
)
from conexiones.gen.user_pb2 import Error
from conexiones.tracing import request_id

DOMAIN = "conexiones"


def details(error: errors.ConexionesError) -> list[Message]:
    """The messages that stand in google.rpc.Status.details."""
    facts = error.facts
    found: list[Message] = [
        ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=_texts(error)),
        LocalizedMessage(locale="es", message=error.mensaje),
    ]
    if error.field:
        violation = BadRequest.FieldViolation(
            field=error.field, description=error.message, reason=error.reason
        )
        found.append(BadRequest(field_violations=[violation]))
    if (delay := _retry_delay(error)) is not None:
        found.append(RetryInfo(retry_delay=delay))
    if problem := _image_problem(error):
        found.append(ImageProblem(reason=error.reason, **problem))
    if isinstance(error, errors.QuotaExceeded | errors.TicketUsedUp | errors.RateExceeded):
        subject = f"{facts['unit']}"
        violation = QuotaFailure.Violation(subject=subject, description=error.message)
        found.append(QuotaFailure(violations=[violation]))
    if isinstance(error, errors.MessageTooLarge):
        found.append(
            MessageTooLarge(limit_bytes=int(facts["limit"]), streaming_method=str(facts["streaming_method"]))
        )
    if isinstance(error, errors.OffsetMismatch):
        found.append(
            OffsetMismatch(expected_offset=int(facts["expected"]), actual_offset=int(facts["actual"]))
        )
    if isinstance(error, errors.WriterFenced):
        found.append(WriterFenced(writer_epoch=int(facts["epoch"])))
    if (checksum := _checksum_mismatch(error)) is not None:
        found.append(checksum)
    if id := request_id():
        found.append(RequestInfo(request_id=id))
    return found


def _retry_delay(error: errors.ConexionesError) -> Duration | None:
    seconds = error.retry_after
    return None if seconds is None else Duration(nanos=int(seconds % 1 * 1e9), seconds=int(seconds))


def _image_problem(error: errors.ConexionesError) -> dict[str, typing.Any]:
    """The fields that all messages of problems with images have; none if it is another error."""
    if not isinstance(error, errors.ImageError | errors.NoPreview | errors.NoRendition):
        return {}
    facts = error.facts
    return {
        "limit": int(facts.get("limit", 0)),
        "actual": int(facts.get("actual", 0)),
        "unit": str(facts.get("unit", "")),
        "format": str(facts.get("format", "")),
    }


def _checksum_mismatch(error: errors.ConexionesError) -> ChecksumMismatch | None:
    if not isinstance(error, errors.ChecksumMismatch):
        return None
    facts = error.facts
    return ChecksumMismatch(
        algorithm=str(facts["algorithm"]),
        expected=bytes.fromhex(str(facts["expected"])),
        actual=bytes.fromhex(str(facts["actual"])),
    )


def packed(error: errors.ConexionesError) -> list[Any]:
    result = []
    for message in details(error):
        box = Any()
        box.Pack(message)
        result.append(box)
    return result


def as_message(error: errors.ConexionesError) -> Error:
    """The error of one message, for the reply in a stream that goes on."""
    problem = _image_problem(error)
    return Error(**_told(error), image_problem=Error.ImageProblem(**problem) if problem else None)


def as_failure(error: errors.ConexionesError) -> Failure:
    """The error with which an upload has ended."""
    problem = _image_problem(error)
    return Failure(
        **_told(error),
        image_problem=ImageProblem(reason=error.reason, **problem) if problem else None,
        checksum_mismatch=_checksum_mismatch(error),
    )


def _told(error: errors.ConexionesError) -> dict[str, typing.Any]:
    """The fields that Error and Failure have in common."""
    return {
        "code": error.code,
        "reason": error.reason,
        "message": error.message,
        "details": packed(error),
        "mensaje": error.mensaje,
        "field": error.field,
        "facts": _texts(error),
        "retry_delay": _retry_delay(error),
    }


def _texts(error: errors.ConexionesError) -> dict[str, str]:
    return {name: str(fact) for name, fact in error.facts.items()}
