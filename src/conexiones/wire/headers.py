"""What headers and trailers say, in words."""

from urllib.parse import unquote

from conexiones.wire.events import Header

# https://grpc.github.io/grpc/core/md_doc_statuscodes.html
STATUS = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
    "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip
_UNITS = {"H": "hours", "M": "minutes", "S": "seconds", "m": "ms", "u": "µs", "n": "ns"}


def noted(name: str, value: str) -> Header:
    """The header, with a note where its value alone says little."""
    known = name.lower()
    if known == "grpc-status" and value.isdecimal() and len(value) < 3 and int(value) < len(STATUS):
        return Header(name, value, STATUS[int(value)])
    if known == "grpc-message" and (plain := unquote(value)) != value:
        return Header(name, value, plain)
    if known == "grpc-timeout" and value[:-1].isdecimal() and value[-1] in _UNITS:
        return Header(name, value, f"{value[:-1]} {_UNITS[value[-1]]}")
    return Header(name, value)
