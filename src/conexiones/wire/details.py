"""The messages that say more of an error, which the protocols carry in base64."""

import base64
import binascii
import json
from collections.abc import Iterable

from conexiones.wire.contract import Contract
from conexiones.wire.events import MAX_HEADER_BYTES, Header, Message
from conexiones.wire.protobuf import Reader

_MAX_DETAILS = 16


def of_trailers(headers: Iterable[Header], contract: Contract) -> Message | None:
    """The google.rpc.Status among the trailers of gRPC and gRPC-Web; None if there is none."""
    value = next((one.value for one in headers if one.name.lower() == "grpc-status-details-bin"), "")
    return _decoded("google.rpc.Status", value, contract) if value else None


def of_connect(data: bytes, contract: Contract) -> tuple[Message, ...]:
    """The details in the JSON of an error, or of the end of a stream, that the contract knows."""
    try:
        told = json.loads(data) if len(data) <= MAX_HEADER_BYTES else None
    except (ValueError, RecursionError):
        return ()
    error = told.get("error", told) if isinstance(told, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    found = (
        _decoded(str(one.get("type")), str(one.get("value")), contract)
        for one in (details[:_MAX_DETAILS] if isinstance(details, list) else ())
        if isinstance(one, dict)
    )
    return tuple(one for one in found if one is not None)


def _decoded(name: str, value: str, contract: Contract) -> Message | None:
    """The message of that name; None if it is not known, or the value is not base64."""
    kind = contract.known(name)
    try:
        data = base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return None if kind is None else Message(type=name, fields=Reader(contract).read(data, kind))
