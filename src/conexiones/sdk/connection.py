"""The connection to the server: one channel, which is kept alive and replaced when it is dead; and unary
calls, with deadlines and retries."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

import grpc

from conexiones import errors
from conexiones.addresses import several, split
from conexiones.errors import ConexionesError
from conexiones.gen.conexiones.v1.access_pb2_grpc import AdminServiceStub
from conexiones.gen.conexiones.v1.images_pb2 import DownloadImageRequest
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.gen.conexiones.v1.status_pb2_grpc import StatusServiceStub
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import UploadServiceStub
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.sdk import forks, reasons
from conexiones.sdk.argument_types import check_options
from conexiones.sdk.backoff import Backoff
from conexiones.sdk.credentials import Secret, Showing, Shown, plain_target
from conexiones.sdk.failures import ConnectionLost, Stalled, Unreachable, release, translated, worth_retrying

T = TypeVar("T")

_NO_PEM = b"-"

_OPTIONS: list[tuple[str, Any]] = [
    # Channels of one process would otherwise share connections, and a new channel could get the dead one.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),  # without this, gRPC waits for a minute whatever the other says
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5_000),  # also limits one attempt to connect
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Names are asked for again when a connection was lost: the servers behind one may have changed.
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    # Clients of a name with several servers spread over them.
    ("grpc.service_config", '{"loadBalancingConfig":[{"pick_first":{"shuffleAddressList":true}}]}'),
    ("grpc.enable_retries", 0),  # retries are made here, where it is known which calls may be repeated
    # A fixed HTTP/2 window bounds how much of a download is in flight; the probed one would grow without
    # limit.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 4 << 20),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", 16 << 20),
]


SMALL_BYTES = 1 << 20
"""An image of this size is sent with a single call, unless the server is known not to take it."""

MAX_SECONDS = 10**8
"""The longest timeout, about three years: what gRPC can put in its header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a client. Times are in seconds; `ca`, `cert` and `key` are paths of PEM files. `address`
    has one or several servers with the same data, with commas between them.

    Raises TypeError for a value of another type. Raises ValueError for an address that is none, for a `cert`
    without its `key` (gRPC would abort the process), for a number that is out of range, and for a token that
    would leave the machine without encryption. `patience` may be infinite.
    """

    address: str
    tls: bool
    ca: str | PathLike[str] | None
    cert: str | PathLike[str] | None
    key: str | PathLike[str] | None
    timeout: float
    retries: int
    patience: float
    token: Secret | None = None
    token_file: str | PathLike[str] | None = None
    insecure_token: bool = False

    def __post_init__(self) -> None:
        check_options(self)
        if bool(self.cert) != bool(self.key):
            raise ValueError("cert and key go together.")
        several(self.address)
        if self.token is not None and self.token_file is not None:
            raise ValueError("Give token or token_file, not both.")
        for address in self.addresses if self.stays else ():
            plain_target(address)
        if not 0 < self.timeout <= MAX_SECONDS:
            raise ValueError(f"timeout is a number of seconds, above 0 and at most {MAX_SECONDS:,}.")
        if not self.patience >= 0:
            raise ValueError("patience is a number of seconds, at least 0.")
        if self.retries < 0:
            raise ValueError("retries is a number of attempts, at least 0.")

    @property
    def addresses(self) -> tuple[str, ...]:
        return several(self.address)

    def target(self, address: str) -> str:
        """One of the addresses for gRPC, which takes some names of hosts, such as "dns", for a scheme. Raises
        ValueError."""
        return plain_target(address) if self.stays else f"dns:///{address}"

    def endpoint(self, address: str) -> tuple[str, int]:
        """Host and port of its target, for a connection that is not gRPC's. Raises ValueError."""
        return split(self.target(address).removeprefix("dns:///").removeprefix("ipv4:").removeprefix("ipv6:"))

    @property
    def stays(self) -> bool:
        """Whether there is a token that must not leave the machine."""
        shows = self.token is not None or self.token_file is not None
        return shows and not self.encrypted and not self.insecure_token

    def channel(self, address: str) -> list[tuple[str, Any]]:
        """The options of a channel."""
        # A proxy would read the token.
        near = [("grpc.enable_http_proxy", 0), ("grpc.default_authority", address)]
        return [*_OPTIONS, *(near if self.stays else [])]

    @property
    def encrypted(self) -> bool:
        return bool(self.tls or self.ca or self.cert)

    def credentials(self) -> grpc.ChannelCredentials | None:
        """None for plaintext. Raises OSError if a file cannot be read."""
        if not self.encrypted:
            return None
        # For an empty file gRPC would trust the system's CAs, or abort the process.
        ca, key, cert = (
            (Path(file).read_bytes() or _NO_PEM) if file else None for file in (self.ca, self.key, self.cert)
        )
        return grpc.ssl_channel_credentials(ca, key, cert)


@dataclass(slots=True, eq=False)
class Link:
    """A channel and the stubs over it, whose calls show the token."""

    channel: Any
    shown: Shown
    loop: asyncio.AbstractEventLoop
    address: str
    uploads: Any = field(init=False)
    status: Any = field(init=False)
    images: Any = field(init=False)
    admin: Any = field(init=False)
    usuario: Any = field(init=False)
    download: Any = field(init=False)
    """DownloadImage, whose messages are not deserialized: see frames.py."""
    calls: int = 0
    """Calls in flight."""
    retired: bool = False
    """Replaced by another link; the channel is closed when its last call ends."""

    def __post_init__(self) -> None:
        showing = Showing(self.channel, self.shown)
        stubs: list[Any] = [UploadServiceStub, ImageServiceStub, UsuarioServicioStub, AdminServiceStub]
        self.uploads, self.images, self.usuario, self.admin = (stub(showing) for stub in stubs)
        self.status = StatusServiceStub(showing)  # type: ignore[no-untyped-call]  # generated
        self.download = showing.unary_stream(
            "/conexiones.v1.ImageService/DownloadImage",
            request_serializer=DownloadImageRequest.SerializeToString,
        )

    def drop(self) -> None:
        """Closes the channel without waiting, by letting go of all that refers to it."""
        self.uploads = self.images = self.status = self.usuario = self.admin = self.download = None
        self.channel = None

    async def close(self) -> None:
        """Closes the channel and ends its calls. If there are none, also lets go of it: whatever keeps the
        link, as an error does by its frames, would keep gRPC's threads otherwise."""
        await self.channel.close()
        if not self.calls:
            self.drop()


class Connection:
    """Belongs to the event loop that uses it, and to another one only when that has ended. Safe to use from
    many tasks of the loop at once."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.reached = False
        """Whether the server has ever answered."""
        self.small_bytes = SMALL_BYTES
        """The largest image that the server is thought to take with a single call; 0 if it has none."""
        self.through = ""
        """The path of a Unix socket to connect to instead, in plaintext: a recorder is there."""
        self.by_http = True
        """Whether what is left of a large image may be asked for by HTTP: see http_body.py."""
        self._addresses = options.addresses
        self._at = random.randrange(len(self._addresses))  # clients spread over the servers
        self._shown = Shown(options.token, options.token_file)
        self._link: Link | None = None
        self._busy: set[Link] = set()
        self._closed = False
        forks.register(self)

    @property
    def address(self) -> str:
        """The address of the server that is in use."""
        return self._addresses[self._at]

    def backoff(self) -> Backoff:
        return Backoff(self.options.patience, self.unreachable)

    async def unreachable(self, error: ConnectionLost) -> Unreachable:
        """The error for a server that has never answered, with the reason in plain words."""
        address, why = error.address or self.address, str(error.facts["why"])
        if self.options.encrypted:
            words = reasons.plainly(why, self.options.cert, self.options.key)
        else:
            words = await reasons.of_plaintext(why, address)
        return Unreachable(address=address, why=words)

    async def explain(self, error: ConnectionLost) -> None:
        """Raises Unreachable, which says more than the error of a lost call, if the server has never
        answered."""
        if not self.reached and not isinstance(error, Stalled):
            raise await self.unreachable(error) from error

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Link]:
        """The link for one call. Raises RuntimeError after close(), in another event loop than the one that
        uses it, and, as ForkedInCall, in a child that cannot use gRPC; OSError and TokenMistyped if the file
        of the token cannot be read."""
        await self._shown.ready()
        link = self._begin()
        try:
            yield link
        except BaseException as error:
            release(error)
            if isinstance(error, ConnectionLost):
                error.address = error.address or link.address
            if isinstance(error, ConnectionLost | errors.ServerDraining) and len(self._addresses) > 1:
                self.renew(link)
            raise
        finally:
            link.calls -= 1
            if not link.calls:
                self._busy.discard(link)
                if link.retired:
                    await link.close()

    def _begin(self) -> Link:
        with forks.beginning():
            if self._closed:
                raise RuntimeError("The client is closed.")
            loop = asyncio.get_running_loop()
            if self._link is not None and self._link.loop is not loop:
                if self._link.loop.is_running():
                    raise RuntimeError(
                        "An AsyncClient belongs to one event loop, and another one uses it: make one for each"
                        " loop, or use Client."
                    )
                self._link.drop()
                self._link = None
            if self._link is None:
                self._link = Link(self._open(), self._shown, loop, self.address)
            self._link.calls += 1
            self._busy.add(self._link)
            return self._link

    def give_up(self) -> bool:
        if self._link is not None and not self._link.calls:
            self._link.drop()
            self._link = None
        return bool(self._busy)

    def held(self) -> list[Any]:
        held = [*self._busy, *([self._link] if self._link else [])]
        self._link = None
        self._busy = set()
        return held

    def renew(self, link: Link) -> None:
        """Gives new calls a new connection, to the next server if there are several. Calls in flight on the
        old one may finish there."""
        link.retired = True
        if self._link is link:
            self._link = None
            self._at = (self._at + 1) % len(self._addresses)

    async def close(self) -> None:
        """Ends all calls, also those on links that were replaced, and refuses new ones."""
        self._closed = True
        links = {*self._busy, *([self._link] if self._link else [])}
        self._link = None
        loop = asyncio.get_running_loop()
        for link in links:
            link.retired = True
            if link.loop is loop:  # those of a loop that has ended have no calls any more
                await link.close()

    def _open(self) -> grpc.aio.Channel:
        if self.through:
            named = [("grpc.default_authority", self.address)]
            return grpc.aio.insecure_channel(f"unix:{self.through}", options=[*_OPTIONS, *named])
        credentials = self.options.credentials()
        target, options = self.options.target(self.address), self.options.channel(self.address)
        if credentials is None:
            return grpc.aio.insecure_channel(target, options=options)
        return grpc.aio.secure_channel(target, credentials, options=options)

    def metadata(self) -> list[tuple[str, str]]:
        """What calls show of this client, after `sending`."""
        return self._shown.metadata()

    async def sending(self) -> Secret | None:
        """The token that calls show now. Raises OSError and TokenMistyped if its file cannot be read."""
        await self._shown.ready()
        return self._shown.secret

    async def worth_another(self, error: ConexionesError, sent: Secret | None) -> bool:
        """Whether a failed call, or what is left of a transfer, may succeed if it is tried again: by itself,
        or because the file of the token has another one than was sent."""
        return worth_retrying(error) or await self._shown.renewed(error, sent)

    async def once(self, method: Callable[[Link], Any], request: Any, seconds: float | None = None) -> Any:
        """One attempt at a unary call, of at most `seconds` (by default the client's timeout); two if the
        token was replaced in its file meanwhile."""
        sent = await self.sending()
        try:
            return await self._attempt(method, request, seconds)
        except errors.Unauthenticated as error:
            if not await self._shown.renewed(error, sent):
                raise
        return await self._attempt(method, request, seconds)

    async def _attempt(self, method: Callable[[Link], Any], request: Any, seconds: float | None) -> Any:
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
        """A unary call, with all its attempts, within the client's timeout.

        again: the call is idempotent, so it is retried after a lost connection.
        done: an error that, after a lost connection, means that an earlier attempt had succeeded; the result
            is then None.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self.options.timeout
        backoff = self.backoff()
        left = self.options.retries
        while True:
            try:
                return await self.once(method, request, max(0.001, end - loop.time()))
            except errors.RateExceeded as error:
                # It was refused before it began. The wait is no part of the call's time.
                begun = loop.time()
                await backoff.pause(error, reached=True)
                end += loop.time() - begun
            except ConexionesError as error:
                if done and left < self.options.retries and isinstance(error, done):
                    return None
                if not isinstance(error, errors.Unavailable):
                    raise
                # A server that is draining or busy has not begun the call, so any call may be repeated.
                refused = isinstance(error, errors.ServerBusy | errors.ServerDraining)
                late = loop.time() + (error.retry_after or 0) >= end
                if not left or not (again or refused) or late:
                    if isinstance(error, ConnectionLost) and not self.reached:
                        raise await self.unreachable(error) from error
                    raise
                await backoff.pause(error, reached=True)
                left -= 1


async def ours(call: Any) -> Any:
    """Awaits a call, or a part of one. Raises ConnectionLost if gRPC cancelled it rather than the caller.

    Like other functions that are given a call, it does not keep it when it fails: see `release`. Nor does
    what it raises, which a task may keep, and an error the task.
    """
    try:
        return await call
    except BaseException as error:
        release(error)
        task = asyncio.current_task()
        if not isinstance(error, asyncio.CancelledError) or (task is not None and task.cancelling()):
            raise
        raise ConnectionLost(why="the call was cancelled below") from None
    finally:
        del call


class Patience:
    """The time within which something useful has to come, however much comes that is not."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.begin()

    def begin(self) -> None:
        """Something useful came: the time begins anew."""
        self._since = time.monotonic()

    @property
    def left(self) -> float:
        return max(0.001, self._since + self._seconds - time.monotonic())


async def next_message(call: Any, seconds: float) -> Any:
    """The next message of a stream, or grpc.aio.EOF. Raises Stalled, and ends the call, after `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            with translated():
                return await ours(call.read())
    except TimeoutError:
        call.cancel()
        raise Stalled(why=f"nothing came for {seconds:g} seconds") from None
    finally:
        del call
