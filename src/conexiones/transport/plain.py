"""What the short ways of gRPC calls have in common: unary.py and streaming.py."""

import asyncio
from collections.abc import Mapping
from typing import Any

from google.protobuf.message import Message

from conexiones import errors
from conexiones.services.heavy import Heavy
from conexiones.transport.guard import CERTIFICATE, own, refusal
from conexiones.transport.inbound import Receive

PATIENCE = 0.05
"""Seconds after the last message of a call, from when on it is watched whether its client is still there."""

CONTENT_TYPE = "application/grpc"

START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", CONTENT_TYPE.encode())],
    "trailers": True,
}
END = {"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")], "more_trailers": False}

_PLAIN = {b"application/grpc", b"application/grpc+proto"}
_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


def is_plain(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the call is of uncompressed protobuf."""
    return headers[b"content-type"] in _PLAIN and headers.get(b"grpc-encoding", b"identity") == b"identity"


def frame(message: Message | Heavy) -> bytes:
    """The message behind its five bytes: not compressed, and how long it is."""
    if isinstance(message, Heavy):
        parts = message.parts()
        return b"".join([b"\0", sum(map(len, parts)).to_bytes(4), *parts])
    body = message.SerializeToString()
    return b"\0" + len(body).to_bytes(4) + body


def refused(error: Exception, method: str, headers: Mapping[bytes, bytes]) -> errors.ConexionesError:
    """The error that the call ends with, logged: `error` is what happened."""
    certificate = headers.get(CERTIFICATE.encode(), b"").decode("latin-1")
    return refusal(own(error), error, method, certificate)


class Watch:
    """The time that a call has, from its grpc-timeout on; it is over, too, when the client goes away.

    A context manager. What ends the block is an error of the tree if it was the time or the client.
    """

    __slots__ = ("_gone", "_later", "_receive", "_scope", "_task")

    def __init__(self, receive: Receive, headers: Mapping[bytes, bytes]) -> None:
        self._scope = asyncio.timeout(_seconds(headers.get(b"grpc-timeout")))
        self._receive = receive
        self._later: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._gone = False

    async def __aenter__(self) -> "Watch":
        await self._scope.__aenter__()
        return self

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self._later is not None:
            self._later.cancel()
        if self._task is not None:
            self._task.cancel()
        try:
            await self._scope.__aexit__(kind, error, trace)
        except TimeoutError as late:
            raise (errors.Cancelled() if self._gone else errors.DeadlineExceeded()) from late
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task and not task.cancelling():  # something of the handler's own
                raise errors.Cancelled from error

    def start(self) -> None:
        """The whole body has come: from PATIENCE on, what comes is the disconnect."""
        self._later = asyncio.get_running_loop().call_later(PATIENCE, self._begin)

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        await self._receive()
        self._gone = True
        if not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())


def _seconds(timeout: bytes | None) -> float | None:
    """Of a grpc-timeout, which the front has found to be well formed."""
    return int(timeout[:-1]) * _UNITS[timeout[-1:]] if timeout else None
