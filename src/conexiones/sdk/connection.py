"""The way to the server: one channel, kept alive, replaced when it is dead; unary calls with deadlines."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import grpc

from conexiones import errors
from conexiones.errors import ConexionesError
from conexiones.gen.conexiones.v1.images_pb2 import DownloadImageRequest
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import UploadServiceStub
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.sdk.failures import ConnectionLost, Stalled, Unreachable, translated
from conexiones.sdk.pace import Pace

T = TypeVar("T")

_OPTIONS: list[tuple[str, Any]] = [
    # A client is a connection of its own, so that replacing it replaces the connection.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5_000),  # also what one attempt to connect may take
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.enable_retries", 0),  # ours know what the calls mean
    # What may be on its way to a download: the window that gRPC would find by probing has no end.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 4 << 20),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", 16 << 20),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where the server is and how to speak to it. Times in seconds; `ca`, `cert` and `key` are PEM files.

    Raises ValueError for a `cert` without its `key`, of which gRPC would abort the process.
    """

    address: str
    tls: bool
    ca: str | PathLike[str] | None
    cert: str | PathLike[str] | None
    key: str | PathLike[str] | None
    timeout: float
    retries: int
    patience: float

    def __post_init__(self) -> None:
        if bool(self.cert) != bool(self.key):
            raise ValueError("cert and key go together.")

    def credentials(self) -> grpc.ChannelCredentials | None:
        """None for plaintext. Raises OSError if a file cannot be read."""
        if not (self.tls or self.ca or self.cert):
            return None
        ca, key, cert = (Path(file).read_bytes() if file else None for file in (self.ca, self.key, self.cert))
        return grpc.ssl_channel_credentials(ca, key, cert)


@dataclass(slots=True, eq=False)
class Link:
    """A channel and the stubs over it."""

    channel: grpc.aio.Channel
    uploads: Any = field(init=False)
    images: Any = field(init=False)
    usuario: Any = field(init=False)
    download: Any = field(init=False)
    """DownloadImage, which gives its messages as they came: see frames.py."""
    calls: int = 0
    retired: bool = False

    def __post_init__(self) -> None:
        stubs: list[Any] = [UploadServiceStub, ImageServiceStub, UsuarioServicioStub]
        self.uploads, self.images, self.usuario = (stub(self.channel) for stub in stubs)
        self.download = self.channel.unary_stream(
            "/conexiones.v1.ImageService/DownloadImage",
            request_serializer=DownloadImageRequest.SerializeToString,
        )


class Connection:
    """Belongs to the event loop that first uses it. Safe to use from many tasks at once."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.reached = False
        """Whether the server has ever answered."""
        self._link: Link | None = None
        self._closed = False

    def pace(self) -> Pace:
        return Pace(self.options.patience, self.options.address)

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Link]:
        """The link for one call. Raises RuntimeError after close()."""
        if self._closed:
            raise RuntimeError("The client is closed.")
        if self._link is None:
            self._link = Link(self._open())
        link = self._link
        link.calls += 1
        try:
            yield link
        finally:
            link.calls -= 1
            if link.retired and not link.calls:
                await link.channel.close()

    def renew(self, link: Link) -> None:
        """New calls get a new connection; the calls that still run on the old one may end there."""
        link.retired = True
        if self._link is link:
            self._link = None

    async def close(self) -> None:
        """Ends all calls."""
        self._closed = True
        if self._link is not None:
            await self._link.channel.close()

    def _open(self) -> grpc.aio.Channel:
        credentials = self.options.credentials()
        if credentials is None:
            return grpc.aio.insecure_channel(self.options.address, options=_OPTIONS)
        return grpc.aio.secure_channel(self.options.address, credentials, options=_OPTIONS)

    async def once(self, method: Callable[[Link], Any], request: Any, seconds: float | None = None) -> Any:
        """One try of a unary call, of at most `seconds` (by default the client's)."""
        async with self.use() as link:
            try:
                with translated():
                    reply = await ours(method(link)(request, timeout=seconds or self.options.timeout))
            except errors.DeadlineExceeded:
                self.renew(link)
                raise
            self.reached = True
            return reply

    async def unary(
        self,
        method: Callable[[Link], Any],
        request: Any,
        *,
        again: bool = True,
        done: type[ConexionesError] | None = None,
    ) -> Any:
        """A unary call. `again`: doing it twice is doing it once, so it is retried after a lost connection.

        `done`: the error that says, if the connection was lost before, that it was done then; gives None.
        All tries together take at most the client's timeout.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self.options.timeout
        pace = self.pace()
        for left in range(self.options.retries, -1, -1):
            try:
                return await self.once(method, request, max(0.001, end - loop.time()))
            except ConexionesError as error:
                if done and left < self.options.retries and isinstance(error, done):
                    return None
                if not isinstance(error, errors.Unavailable):
                    raise
                # A server that drains or is busy has not begun with it.
                refused = isinstance(error, errors.ServerBusy | errors.ServerDraining)
                if not left or not (again or refused) or loop.time() >= end:
                    if isinstance(error, ConnectionLost) and not self.reached:
                        address, why = self.options.address, error.facts["why"]
                        raise Unreachable(address=address, why=why) from error
                    raise
                await pace.pause(error, reached=True)
        raise AssertionError("unreachable")


async def ours(call: Any) -> Any:
    """Awaits a call, or a part of one. gRPC's own cancellation is a lost connection, not a wish."""
    try:
        return await call
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise ConnectionLost(why="the call was cancelled below") from None


async def next_message(call: Any, seconds: float) -> Any:
    """The next message of a stream, or grpc.aio.EOF. Raises Stalled, and ends the call, after `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            with translated():
                return await ours(call.read())
    except TimeoutError:
        call.cancel()
        raise Stalled(why=f"nothing came for {seconds:g} seconds") from None
