"""The errors of gRPC calls, read as a client would read them."""

from typing import Any

import grpc
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from tests.support.waiting import DEADLINE


def reason(error: Any) -> str:
    """The stable reason of a failed call's status, "" if it has none."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in Status.FromString(value).details:
                info = ErrorInfo()
                if detail.Unpack(info):
                    return info.reason
    return ""


def failure(call: Any, *args: Any, **kwargs: Any) -> tuple[grpc.StatusCode, str]:
    """The code and the reason with which a call fails; it must fail."""
    try:
        result = call(*args, **{"timeout": DEADLINE, **kwargs})
        if hasattr(result, "__next__"):
            list(result)
    except grpc.RpcError as error:
        return error.code(), reason(error)
    raise AssertionError("the call succeeded")
