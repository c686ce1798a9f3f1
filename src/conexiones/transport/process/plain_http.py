"""A small server of HTTP/1.1 for those who watch over the server: GET and HEAD, one request to a connection.

It does not go through Envoy, so that it answers while Envoy is full, stuck or draining.
"""

import asyncio
import io
import re
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPException, parse_headers
from typing import TypeAlias

HEADERS_BYTES = 16 << 10
"""The most that a request may have: what it asks, and its headers."""

REQUEST_SECONDS, REPLY_SECONDS = 5.0, 30.0
"""Time for a request to come, and for its reply to be read."""

MOST = 128
"""Connections at a time. For another one, that is closed which had all of its answer first or, if none has,
which has asked nothing for longest, or which waits for longest for what most wait for. So nobody keeps others
out by leaving connections open, and who asks for one path all the time keeps nobody away from another one."""

_LINE = 128
"""Connections that wait to be accepted, in the kernel."""

_AT_ONCE = 8
"""Connections that are accepted in one turn of the event loop. What these have asked is read before so many
others have come that one of them would have to go."""

_LEFT_BYTES, _LEFT_SECONDS = 1 << 20, 1.0
"""What is still read of a client that goes on sending: if it were not, the client might not see its reply."""

_ORIGIN = re.compile(rb"^https?://[^/?]*", re.IGNORECASE)
"""What stands before the path where a client asks as one asks a proxy. Host has it, too."""

_REQUEST = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([!-~]{1,8192}) HTTP/1\.([01])\r?\n")

_Connections: TypeAlias = dict[asyncio.StreamWriter, asyncio.Task[object]]
"""With the task that serves each, in the order in which they came into this group."""


@dataclass(frozen=True, slots=True)
class Request:
    """`path` is without the query. `headers` are by name in lower case."""

    verb: str
    path: str
    version: str
    headers: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


class PlainHttp:
    """Answers what comes to a socket. `answer` gives the reply; it has to end by itself."""

    def __init__(self, answer: Callable[[Request], Awaitable[Reply]]) -> None:
        self._answer = answer
        self._silent: _Connections = {}
        self._waiting: dict[str, _Connections] = {}  # for an answer, by path
        self._answered: _Connections = {}
        self._connections = 0
        self._server: asyncio.Server | None = None

    async def open(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        start = asyncio.start_unix_server if listener.family == socket.AF_UNIX else asyncio.start_server
        # What asyncio calls the backlog is how many it accepts in one turn, too.
        self._server = await start(self._serve, sock=listener, limit=HEADERS_BYTES, backlog=_AT_ONCE)
        listener.listen(_LINE)

    async def close(self) -> None:
        if self._server:
            self._server.close()
            for writer in [*self._silent, *self._answered]:
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._connections >= MOST:
            self._make_room()
        self._connections += 1
        try:
            # It is cancelled when the server ends. The streams of Python 3.11 would log that as an error.
            with suppress(OSError, TimeoutError, asyncio.CancelledError):
                await self._talk(reader, writer)
        finally:
            self._connections -= 1
            writer.transport.abort()

    def _make_room(self) -> None:
        """Ends one connection of those that are there."""
        sent = (one for one in self._answered if not one.transport.get_write_buffer_size())
        most = max(self._waiting.values(), key=len, default={})
        for writer in (*sent, *self._silent, *most, *self._answered):
            for group in (self._silent, most, self._answered):
                if task := group.pop(writer, None):
                    task.cancel()
                    writer.transport.abort()
                    return

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with _listed(writer, self._silent):
            try:
                async with asyncio.timeout(REQUEST_SECONDS):
                    request = _parsed(await reader.readuntil(b"\r\n\r\n"))
            except asyncio.IncompleteReadError:
                return
            except (asyncio.LimitOverrunError, ValueError):
                request = None
        if request is None:
            reply = Reply(400, b"This is no request of HTTP/1.1.\n")
        else:
            reply = await self._reply(request, writer)
        with _listed(writer, self._answered):
            async with asyncio.timeout(REPLY_SECONDS):
                writer.write(_written(reply, head=request is not None and request.verb == "HEAD"))
                await writer.drain()
                writer.write_eof()
                left = _LEFT_BYTES
                async with asyncio.timeout(_LEFT_SECONDS):
                    while left > 0 and (data := await reader.read(1 << 16)):
                        left -= len(data)

    async def _reply(self, request: Request, writer: asyncio.StreamWriter) -> Reply:
        waiting = self._waiting.setdefault(request.path, {})
        try:
            with _listed(writer, waiting):
                return await self._answer(request)
        finally:
            if not waiting and self._waiting.get(request.path) is waiting:
                del self._waiting[request.path]


@contextmanager
def _listed(writer: asyncio.StreamWriter, group: _Connections) -> Iterator[None]:
    """Has a connection in a group meanwhile."""
    if task := asyncio.current_task():
        group[writer] = task
    try:
        yield
    finally:
        group.pop(writer, None)


def _parsed(head: bytes) -> Request:
    """Raises ValueError."""
    first, _, rest = head.partition(b"\n")
    line = _REQUEST.fullmatch(first + b"\n")
    if line is None:
        raise ValueError("no request line")
    try:
        found = parse_headers(io.BytesIO(rest))
    except HTTPException as error:
        raise ValueError("no headers") from error
    hosts = found.get_all("host", [])
    if len(hosts) > 1 or (not hosts and line[3] == b"1"):
        raise ValueError("not one Host")
    headers = {name.lower().encode("latin-1"): value.encode("latin-1") for name, value in found.items()}
    path = _ORIGIN.sub(b"", line[2]).partition(b"?")[0].decode()
    return Request(line[1].decode(), path, f"1.{line[3].decode()}", headers)


def _written(reply: Reply, *, head: bool) -> bytes:
    headers = {
        "content-type": reply.content_type,
        "content-length": str(len(reply.body)),
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "connection": "close",
        **reply.headers,
    }
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (b"" if head else reply.body)
