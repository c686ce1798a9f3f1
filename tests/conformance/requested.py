"""Errors that a client asks for in its request, word for word."""

from collections.abc import Iterable
from functools import cache

from google.protobuf.any_pb2 import Any

from conexiones.errors import Code, ConexionesError


class RequestedError(ConexionesError):
    """An error with a message and details that a request gave. `requested` makes a class for each code."""

    def __init__(self, message: str, details: Iterable[Any] = ()) -> None:
        self._message = message
        self.details = list(details)
        super().__init__()

    @property
    def message(self) -> str:
        return self._message


def requested(code: int, message: str, details: Iterable[Any] = ()) -> RequestedError:
    return _class(Code(code))(message, details)


@cache
def _class(code: Code) -> type[RequestedError]:
    return type(f"Requested_{code.name}", (RequestedError,), {"code": code})


def details(error: ConexionesError) -> list[Any]:
    """The details that were asked for. Errors of the transport have none here: the suites allow no others."""
    return error.details if isinstance(error, RequestedError) else []
