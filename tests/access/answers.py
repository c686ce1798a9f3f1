"""The reason of an error, in the answers of all protocols."""

import base64
import json
from collections.abc import Mapping

from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from pyqwest import Response

_CONNECT_END, _WEB_TRAILERS = 0x02, 0x80
_PREFIX = 5


def _info(status: Status) -> str:
    info = ErrorInfo()
    return info.reason if any(one.Unpack(info) for one in status.details) else "?"


def _padded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4))


def _of_grpc(found: Mapping[str, str]) -> str | None:
    """The reason in the headers or trailers of gRPC; None if they do not say how the call ended."""
    code = found.get("grpc-status")
    if code is None:
        return None
    if code == "0":
        return ""
    details = found.get("grpc-status-details-bin")
    return _info(Status.FromString(_padded(details))) if details else f"grpc-status {code}"


def of_connect(error: dict[str, object]) -> str:
    """The reason of an error in the JSON of Connect."""
    details = error.get("details")
    assert isinstance(details, list)
    for one in details:
        if one["type"] == "google.rpc.ErrorInfo":
            return ErrorInfo.FromString(_padded(one["value"])).reason
    return "?"


def _fields(block: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in block.decode().splitlines() if line)
    return {name.strip().lower(): value.strip() for name, _, value in lines}


def _decoded(body: bytes, *, text: bool) -> bytes:
    """The envelopes in a body. In text, pieces are encoded on their own, so that padding may be anywhere."""
    if not text:
        return body
    return b"".join(base64.b64decode(body[at : at + 4]) for at in range(0, len(body) // 4 * 4, 4))


def _last(envelopes: bytes) -> str:
    """The reason in the last envelope of a body, of gRPC-Web or of a stream of Connect."""
    while len(envelopes) >= _PREFIX:
        flags, size = envelopes[0], int.from_bytes(envelopes[1:_PREFIX])
        content, envelopes = envelopes[_PREFIX : _PREFIX + size], envelopes[_PREFIX + size :]
        if flags & _WEB_TRAILERS:
            return _of_grpc(_fields(content)) or ""
        if flags & _CONNECT_END:
            error = json.loads(content).get("error")
            return of_connect(error) if error else ""
    return "no end"


async def reason(response: Response, *, endless: bool = False) -> str:
    """The reason of the error, empty if the call succeeded; for an endless stream, if it has begun."""
    kind = response.headers.get("content-type", "")
    text = "web-text" in kind
    if kind.startswith("application/grpc"):
        found = _of_grpc(dict(response.headers.items()))
        if found is not None:
            return found
    body = b""
    async for piece in response.content:
        body += bytes(piece)
        begun = _decoded(body, text=text)
        if endless and begun and not begun[0] & (_CONNECT_END | _WEB_TRAILERS):
            return ""
    if kind.startswith(("application/grpc-web", "application/connect")):
        return _last(_decoded(body, text=text))
    if kind.startswith("application/grpc"):
        found = _of_grpc(dict(response.trailers.items()))
        return "no status" if found is None else found
    if response.status == 200:
        return ""
    answer = json.loads(body)
    return str(answer["reason"]) if "reason" in answer else of_connect(answer)
