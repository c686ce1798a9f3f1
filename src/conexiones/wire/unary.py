"""A call with one message each way over HTTP/1.1, in gRPC-Web or Connect: as browsers and curl make it."""

import base64
import binascii
import json
import socket
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, RemoteDisconnected
from typing import Any, TypeVar
from urllib.parse import unquote

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import MessageToJson, Parse, ParseError
from google.protobuf.message import DecodeError, Message
from google.rpc.status_pb2 import Status

from conexiones.wire.bodies import COMPRESSED, PREFIX_BYTES, WEB_TRAILERS
from conexiones.wire.headers import STATUS

M = TypeVar("M", bound=Message)

MAX_REPLY_BYTES = 16 << 20
UNKNOWN = STATUS.index("UNKNOWN")

CONTENT_TYPES = {
    "grpc-web": "application/grpc-web+proto",
    "grpc-web-text": "application/grpc-web-text",
    "connect": "application/json",
    "connect-proto": "application/proto",
}
"""The protocols."""


class NoReply(Exception):
    """The connection ended, or what came is not the protocol's. The text is the end of a sentence."""


class Refused(Exception):
    """The server answered with an error. `code` is a gRPC code."""

    def __init__(self, code: int, message: str, details: tuple[AnyMessage, ...]) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details


def call(
    socket_path: str,
    protocol: str,
    authority: str,
    path: str,
    request: Message,
    reply: type[M],
    *,
    headers: Mapping[str, str],
    seconds: float,
) -> M:
    """Makes the call over the Unix socket at that path. Blocks. Raises NoReply, Refused and OSError."""
    connection = _Local(socket_path, seconds)
    try:
        content_type = CONTENT_TYPES[protocol]
        connection.putrequest("POST", path, skip_host=True, skip_accept_encoding=True)
        body = _body(protocol, request)
        own = {"host": authority, "content-type": content_type, "content-length": str(len(body))}
        milliseconds = min(max(int(seconds * 1000), 1), 10**8 - 1)
        if protocol.startswith("connect"):
            own |= {"connect-protocol-version": "1", "connect-timeout-ms": str(milliseconds)}
        else:
            own |= {"accept": content_type, "x-grpc-web": "1", "grpc-timeout": f"{milliseconds}m"}
        for name, value in {**own, **headers}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        data = response.read(MAX_REPLY_BYTES + 1)
    except RemoteDisconnected as error:
        raise NoReply("the server hung up") from error
    except HTTPException as error:
        raise NoReply(f"what came is no reply of HTTP/1.1 ({type(error).__name__})") from error
    finally:
        connection.close()
    if len(data) > MAX_REPLY_BYTES:
        raise NoReply(f"the reply has more than {MAX_REPLY_BYTES} bytes")
    if protocol.startswith("connect"):
        return _connect_reply(protocol, response, data, reply)
    return _web_reply(protocol, response, data, reply)


class _Local(HTTPConnection):
    """HTTP/1.1 over a Unix socket."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _body(protocol: str, request: Message) -> bytes:
    if protocol == "connect":
        return MessageToJson(request, indent=None, ensure_ascii=False).encode()
    data = request.SerializeToString()
    if protocol == "connect-proto":
        return data
    framed = b"\0" + len(data).to_bytes(4) + data
    return base64.b64encode(framed) if protocol == "grpc-web-text" else framed


def _connect_reply(protocol: str, response: HTTPResponse, data: bytes, reply: type[M]) -> M:
    if response.status == 200:
        try:
            return reply.FromString(data) if protocol == "connect-proto" else Parse(data, reply())
        except (DecodeError, ParseError, UnicodeDecodeError) as error:
            raise NoReply("the reply cannot be read") from error
    try:
        told = json.loads(data)
        name = str(told["code"]).upper().replace("CANCELED", "CANCELLED")
        details = tuple(_detail(detail) for detail in told.get("details", ()))
        code = STATUS.index(name) if name in STATUS else UNKNOWN
        raise Refused(code, str(told.get("message", "")), details)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise NoReply(f"the HTTP status was {response.status}") from None


def _detail(detail: Mapping[str, Any]) -> AnyMessage:
    value = _unbase64(str(detail["value"]))
    return AnyMessage(type_url=f"type.googleapis.com/{detail['type']}", value=value)


def _web_reply(protocol: str, response: HTTPResponse, data: bytes, reply: type[M]) -> M:
    trailers = {name.lower(): value for name, value in response.getheaders()}
    if response.status != 200:
        raise NoReply(f"the HTTP status was {response.status}")
    messages = []
    try:
        if protocol == "grpc-web-text":
            # Each piece is base64 by itself, with its own padding: groups of four can be decoded one by one.
            data = b"".join(base64.b64decode(data[at : at + 4]) for at in range(0, len(data), 4))
        for flags, content in _envelopes(data):
            if flags & WEB_TRAILERS:
                lines = (line.partition(":") for line in content.decode().split("\r\n"))
                trailers |= {name.strip().lower(): value.strip() for name, _, value in lines}
            else:
                messages.append(reply.FromString(content))
        code = int(trailers["grpc-status"])
    except (binascii.Error, ValueError, KeyError, DecodeError) as error:
        raise NoReply("the reply cannot be read") from error
    if code or len(messages) != 1:
        details = _status(trailers.get("grpc-status-details-bin", ""))
        raise Refused(
            code or UNKNOWN,
            details.message or unquote(trailers.get("grpc-message", "")),
            tuple(details.details),
        )
    return messages[0]


def _envelopes(data: bytes) -> list[tuple[int, bytes]]:
    """Flags and content of each. Raises ValueError."""
    found = []
    while data:
        flags, length = data[0], int.from_bytes(data[1:PREFIX_BYTES])
        content = data[PREFIX_BYTES : PREFIX_BYTES + length]
        if len(content) < length or flags & COMPRESSED:
            raise ValueError
        found.append((flags, content))
        data = data[PREFIX_BYTES + length :]
    return found


def _status(value: str) -> Status:
    try:
        return Status.FromString(_unbase64(value))
    except (binascii.Error, ValueError, DecodeError):
        return Status()


def _unbase64(text: str) -> bytes:
    """The bytes of base64 that may lack its padding."""
    return base64.b64decode(text + "=" * (-len(text) % 4))
