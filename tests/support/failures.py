"""The errors of gRPC calls, read as a client would read them."""

from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from tests.support.waiting import DEADLINE

Detail = TypeVar("Detail", bound=Message)


def detail(error: Any, into: Detail) -> Detail:
    """The detail of that type that a failed call carries; it must carry one."""
    assert _unpack(error, into), f"no {into.DESCRIPTOR.full_name}"
    return into


def reason(error: Any) -> str:
    """The stable reason of a failed call's status, "" if it has none."""
    info = ErrorInfo()
    return info.reason if _unpack(error, info) else ""


def _unpack(error: Any, into: Message) -> bool:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            return any(box.Unpack(into) for box in Status.FromString(value).details)
    return False


def failure(call: Any, *args: Any, **kwargs: Any) -> tuple[grpc.StatusCode, str]:
    """The code and the reason with which a call fails; it must fail."""
    try:
        result = call(*args, **{"timeout": DEADLINE, **kwargs})
        if hasattr(result, "__next__"):
            list(result)
    except grpc.RpcError as error:
        return error.code(), reason(error)
    raise AssertionError("the call succeeded")
