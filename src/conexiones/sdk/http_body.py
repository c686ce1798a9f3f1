"""The rest of a large image by HTTP: GET /images/{id} with a range, over a connection of its own.

It takes both sides less than half the processor time of DownloadImage: no messages are made, and bytes go
from the socket right into the pieces that are written. Nothing depends on it. Where it cannot be had,
DownloadImage goes on, and says why if that fails, too.
"""

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator
from ssl import SSLContext, SSLError, create_default_context
from typing import cast
from urllib.parse import quote

from conexiones.sdk.connection import Connection, Options
from conexiones.sdk.failures import ConnectionLost, Stalled

LEAST_BYTES = 16 << 20
"""What is left of an image and smaller is not worth another connection."""
PIECE_BYTES = 1 << 20
WAITING_PIECES = 2
"""Pieces that have come and that nobody has taken, beside the one that is being received."""
HEAD_BYTES = 16 << 10
OPEN_SECONDS = 5.0
"""How long to wait for the first bytes of the answer. Meanwhile DownloadImage does not go on."""
SLOW_SECONDS = 1.0
"""What has come of a piece after this time is handed over as a smaller one."""

_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")
"""Variables by which gRPC finds a proxy. It may be the only way to the server."""


class _UnexpectedAnswer(Exception):
    """It is not that range of those bytes."""


class Body(asyncio.BufferedProtocol):
    """The body of an answer, received in pieces. Use once."""

    def __init__(self, size: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._head: asyncio.Future[str] = self._loop.create_future()
        self._coming = size
        """How many bytes are still to be received, beside those in the piece."""
        self._left = size
        """How many bytes are still to be handed over."""
        self._news = asyncio.Event()
        self._pieces: deque[memoryview] = deque()
        self._over = False
        self._transport: asyncio.Transport
        self._begin_piece()

    def _begin_piece(self) -> None:
        self._piece = memoryview(bytearray(PIECE_BYTES))
        self._start = self._end = 0

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._piece[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        self._end += nbytes
        if not self._head.done():
            self._find_head()
        if self._head.done():
            received = self._end - self._start
            if received > self._coming:
                self._transport.abort()
            elif received == self._coming or self._end == len(self._piece):
                self._hand_over()

    def connection_lost(self, exc: Exception | None) -> None:
        self._over = True
        if not self._head.done():
            self._head.set_exception(_UnexpectedAnswer())
        elif self._start < self._end and self._end - self._start <= self._coming:
            self._hand_over()
        self._news.set()

    def _find_head(self) -> None:
        head, end, _ = bytes(self._piece[: self._end]).partition(b"\r\n\r\n")
        if end:
            self._start = len(head) + len(end)
            self._head.set_result(head.decode("latin-1"))
        elif len(head) >= HEAD_BYTES:
            self._transport.abort()

    def _hand_over(self) -> None:
        """Lets the piece be taken as far as it has come, and begins another one."""
        self._coming -= self._end - self._start
        self._pieces.append(self._piece[self._start : self._end])
        self._begin_piece()
        self._news.set()
        if len(self._pieces) == WAITING_PIECES and not self._over:
            self._transport.pause_reading()

    # What those who download call

    async def ask(self, request: str) -> tuple[str, dict[str, str]]:
        """Sends a request, and returns the status of the answer, and its headers by their names in lower
        case. Raises _UnexpectedAnswer."""
        self._transport.write(request.encode("ascii"))
        first, *lines = (await self._head).split("\r\n")
        headers = [line.partition(":") for line in lines]
        return first.partition(" ")[2][:3], {name.lower(): value.strip() for name, _, value in headers}

    def close(self) -> None:
        self._transport.abort()
        if self._head.done():
            self._head.exception()  # nobody awaits it
        self._head.cancel()

    async def pieces(self, seconds: float) -> AsyncGenerator[memoryview, None]:
        """All bytes. Raises ConnectionLost, and Stalled after so many seconds without a byte."""
        try:
            while self._left:
                if not self._pieces:
                    await self._wait(seconds)
                piece = self._pieces.popleft()
                if len(self._pieces) == WAITING_PIECES - 1 and not self._over:
                    self._transport.resume_reading()
                self._left -= len(piece)
                yield piece
        finally:
            self.close()

    async def _wait(self, seconds: float) -> None:
        """Returns when there is a piece."""
        end = self._loop.time() + seconds
        while not self._pieces:
            if self._over:
                raise ConnectionLost(why="the image ended early")
            self._news.clear()
            try:
                async with asyncio.timeout(min(SLOW_SECONDS, seconds)):
                    await self._news.wait()
            except TimeoutError:
                if self._start < self._end:
                    self._hand_over()
                elif self._loop.time() >= end:
                    raise Stalled(why=f"nothing came for {seconds:g} seconds") from None


async def opened(connection: Connection, image_id: str, etag: str, start: int, end: int) -> Body | None:
    """The bytes from `start` up to `end`, which are about to come; None if they cannot be had this way. If
    another answer came, the connection remembers that."""
    options = connection.options
    if not connection.by_http or not usable(options):
        return None
    headers = {
        "Host": connection.address,
        **{name.title(): value for name, value in connection.metadata()},
        "Range": f"bytes={start}-{end - 1}",
        "If-Range": etag,
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    lines = [f"GET /images/{quote(image_id, safe='')} HTTP/1.1", *(": ".join(one) for one in headers.items())]
    try:
        async with asyncio.timeout(min(OPEN_SECONDS, options.timeout)):
            place = options.endpoint(connection.address)
            return await _open(options, place, "\r\n".join([*lines, "", ""]), etag, start, end)
    except (SSLError, ValueError, _UnexpectedAnswer):
        connection.by_http = False
    except OSError:
        pass  # it may be the network, and pass
    return None


def usable(options: Options) -> bool:
    """Whether such a connection is sure to be like that of gRPC: the same way to the server, and with TLS the
    same certificate authorities. gRPC has its own unless `ca` names them."""
    if options.encrypted and not options.ca:
        return False
    return options.stays or not any(os.environ.get(name) for name in _PROXIES)


async def _open(
    options: Options, place: tuple[str, int], request: str, etag: str, start: int, end: int
) -> Body:
    """Raises OSError, ValueError and _UnexpectedAnswer."""
    host, port = place
    tls = await asyncio.to_thread(_tls, options) if options.encrypted else None
    loop = asyncio.get_running_loop()
    name = host if tls else None
    _, body = await loop.create_connection(
        lambda: Body(end - start), host, port, ssl=tls, server_hostname=name
    )
    try:
        status, headers = await body.ask(request)
        same = headers.get("etag") == etag
        whole = headers.get("content-range", "").startswith(f"bytes {start}-{end - 1}/")
        coded = {"content-encoding", "transfer-encoding"} & headers.keys()
        if status != "206" or not same or not whole or coded:
            raise _UnexpectedAnswer
    except BaseException:
        body.close()
        raise
    return body


def _tls(options: Options) -> SSLContext:
    """Reads the files. Raises OSError."""
    context = create_default_context(cafile=options.ca)
    context.set_alpn_protocols(["http/1.1"])
    if options.cert and options.key:
        context.load_cert_chain(options.cert, options.key)
    return context
