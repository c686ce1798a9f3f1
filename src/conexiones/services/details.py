"""Errors as protobuf: the typed details of each, and the `Error` in the reply of a stream.

Every error carries google.rpc.ErrorInfo (reason, domain, facts) and google.rpc.LocalizedMessage (the sentence
in Spanish). An error that names a field also carries BadRequest, one that is worth retrying RetryInfo, one of
an image conexiones.v1.ImageProblem, one of a message's size conexiones.v1.MessageTooLarge, and so on.
"""

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, LocalizedMessage, RetryInfo

from conexiones import errors
from conexiones.gen.conexiones.v1.errors_pb2 import (
    ChecksumMismatch,
    ImageProblem,
    MessageTooLarge,
    OffsetMismatch,
    WriterFenced,
)
from conexiones.gen.user_pb2 import Error

DOMAIN = "conexiones"


def details(error: errors.ConexionesError) -> list[Message]:
    """The messages that stand in google.rpc.Status.details."""
    facts = error.facts
    found: list[Message] = [
        ErrorInfo(
            reason=error.reason, domain=DOMAIN, metadata={name: str(fact) for name, fact in facts.items()}
        ),
        LocalizedMessage(locale="es", message=error.mensaje),
    ]
    if error.field:
        violation = BadRequest.FieldViolation(
            field=error.field, description=error.message, reason=error.reason
        )
        found.append(BadRequest(field_violations=[violation]))
    if error.retry_after is not None:
        found.append(
            RetryInfo(
                retry_delay=Duration(nanos=int(error.retry_after % 1 * 1e9), seconds=int(error.retry_after))
            )
        )
    if isinstance(error, errors.ImageError | errors.NoPreview | errors.NoRendition):
        found.append(
            ImageProblem(
                reason=error.reason,
                limit=int(facts.get("limit", 0)),
                actual=int(facts.get("actual", 0)),
                unit=str(facts.get("unit", "")),
                format=str(facts.get("format", "")),
            )
        )
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
    if isinstance(error, errors.ChecksumMismatch):
        found.append(
            ChecksumMismatch(
                algorithm=str(facts["algorithm"]),
                expected=bytes.fromhex(str(facts["expected"])),
                actual=bytes.fromhex(str(facts["actual"])),
            )
        )
    return found


def packed(error: errors.ConexionesError) -> list[Any]:
    result = []
    for message in details(error):
        box = Any()
        box.Pack(message)
        result.append(box)
    return result


def as_message(error: errors.ConexionesError) -> Error:
    """The error of one message, for the reply in a stream that goes on."""
    return Error(code=error.code, reason=error.reason, message=error.message, details=packed(error))
