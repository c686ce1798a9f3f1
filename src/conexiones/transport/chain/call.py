"""One call, as it is known before its body is read. Every step of the chain and every handler gets it."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Protocol

from conexiones.errors import Cancelled, ConexionesError
from conexiones.metrics import UNCOUNTED, Counter, Counters
from conexiones.principals import EVERYBODY, Need, Principal
from conexiones.shares import Caller, client_of
from conexiones.transport.chain.body import Body
from conexiones.transport.chain.ids import CallIds
from conexiones.transport.chain.memory import Lease
from conexiones.transport.chain.pace import Pace
from conexiones.transport.chain.replies import FREE, Large, Outgoing, Replies
from conexiones.transport.chain.turn import Turn

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
Endpoint = Callable[["Call"], Awaitable[None]]

Kind = Literal["grpc", "connect", "connect-stream", "http"]
"""The protocols. gRPC-Web is not among them, because Envoy turns it into gRPC."""

Exemption = Literal["admission", "drain"]
"""What calls of a route may be exempt from. "admission": they are served while the server drains or is busy,
and are not counted. "drain": a drain does not wait for their end."""

CERTIFICATE = b"x-forwarded-client-cert"
"""The header in which Envoy names the certificate of a client, which it has verified. Envoy removes this
header from requests, so that clients cannot set it."""

CONNECTION = b"x-conexiones-connection"
"""The header with Envoy's number of the connection. It counts where proxies are trusted, and the address that
they tell has no port. Envoy removes from requests what clients set of our headers."""

OURS = "x-conexiones-"
"""How the names of headers begin that Envoy alone may set."""

_SUBJECT = re.compile(r'(?:^|;)Subject="((?:[^"\\]|\\.)*)"')


@lru_cache(4096)
def _key(owner: str) -> str:
    """The key of a client that has shares as an owner. It is the same object each time: its hash is known."""
    return f"owner {owner}"


def peer_of(call: "Call") -> str:
    """The client's address and port, for a log."""
    host, port = call.peer or ("", 0)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Auditing(Protocol):
    """Who is told what calls change, and which are refused."""

    def changed(self, call: "Call", event: str, object_id: str, outcome: str) -> None: ...
    def refused(self, call: "Call", error: ConexionesError) -> None: ...


class Answer(Protocol):
    """How a call is answered, in its protocol."""

    async def fail(self, error: ConexionesError) -> None:
        """Ends the call with an error, whatever was sent before. Raises the error where the protocol has
        no way to tell it any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where a path leads: the names of the service and the method, and the endpoint that serves the calls.

    `needs` is what a caller needs for it; `ticketed` says that a ticket is enough. `brief`: its calls have
    one request and one reply.
    """

    service: str
    method: str
    endpoint: Endpoint
    needs: Need
    ticketed: bool = False
    exempt: frozenset[Exemption] = frozenset()
    brief: bool = False


class Call:
    """One call. Times are those of the event loop, which are those of time.monotonic.

    `headers` are as they came, with names in lower case. `peer` is the client's address and port. `scheme`
    is "http" or "https", as the client used it: behind proxies that are trusted, as these say.
    `deadline` is None where the client has set none. `principal` is who calls, once the access step has
    found out. `outgoing` is None until `sends` makes it. `gone` says that the client has gone away. A
    handler may add to `reply_headers` before its first reply, and to `reply_trailers` before its end. `turn`
    is that of a call with one request and one reply, which is taken when the request is there.
    `http_status` replaces the HTTP status of an error, in protocols whose errors have one. `error` is what
    the call has failed with; the guard sets it. `status` is the HTTP status of the response, once it has
    begun; `replied` counts the bytes of its body. `auditing` is told what the call changes. `ids` is what
    logs and traces know the call by.
    """

    __slots__ = (
        "_caller",
        "_index",
        "_pace",
        "_send",
        "answer",
        "auditing",
        "body",
        "deadline",
        "error",
        "gone",
        "headers",
        "http_status",
        "ids",
        "memory",
        "outgoing",
        "path",
        "peer",
        "principal",
        "protocol",
        "query",
        "refusals",
        "replied",
        "replies",
        "reply_headers",
        "reply_trailers",
        "route",
        "scheme",
        "sent",
        "shown",
        "start_time",
        "status",
        "turn",
        "verb",
    )

    memory: Lease
    answer: Answer

    def __init__(
        self,
        scope: Any,
        receive: Receive,
        send: Send,
        *,
        route: Route,
        protocol: Kind,
        index: dict[bytes, bytes],
        seconds: float | None = None,
    ) -> None:
        """`index` has the headers by name; `seconds` is the time that the client gives the call."""
        self.headers: Headers = scope["headers"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.verb: str = scope["method"]
        self.scheme: str = scope.get("scheme", "http")
        self.peer: tuple[str, int] | None = scope.get("client")
        self.route = route
        self.protocol = protocol
        self.body = Body(receive)
        self.start_time = time.monotonic()
        self.deadline = None if seconds is None else self.start_time + seconds
        self.replies: Replies | None = None
        self.outgoing: Outgoing | None = None
        self.principal: Principal = EVERYBODY
        self.error: ConexionesError | None = None
        self.auditing: Auditing | None = None
        self.gone = False
        self.shown = "none"
        self.status = 0
        self.sent: Counter = UNCOUNTED
        self.refusals: Counters | None = None
        self.http_status: int | None = None
        self.replied = 0
        self.ids = CallIds(self.headers, route)
        self.turn: Turn | None = None
        self.reply_headers: Headers = []
        self.reply_trailers: Headers = []
        self._caller: Caller | None = None
        self._pace: Pace | None = None
        self._index = index
        self._send = send

    @property
    def service(self) -> str:
        return self.route.service

    @property
    def method(self) -> str:
        return self.route.method

    def header(self, name: bytes) -> bytes:
        """A header by its name in lower case, empty if there is none."""
        return self._index.get(name, b"")

    def only_header(self, name: bytes) -> bytes | None:
        """A header that counts only if there is one of it; None if there is none, and empty if there are
        several."""
        value = self._index.get(name)
        # Headers of one name are rare, so those of this name are counted only where there are some.
        if value is None or len(self._index) == len(self.headers):
            return value
        return value if sum(each == name for each, _ in self.headers) == 1 else b""

    @property
    def caller(self) -> Caller:
        """Who has shares: the owner for whom the principal stores or, where there is none, the address; and
        the connection. The address and port of the connection, since a client may have others."""
        if self._caller is None:
            self._caller = Caller(client_of(self.peer[0] if self.peer else ""), self._connection)
        return self._caller

    @property
    def _connection(self) -> str:
        host, port = self.peer or ("", 0)
        return f"{host} {port}" if port else self.header(CONNECTION).decode("latin-1")

    def comes_from(self, principal: Principal) -> None:
        """Sets who calls. Whoever has a token, certificate or JWT has shares by it, wherever it calls from;
        the holders of tickets and links are others than those who made them, and have shares by address."""
        self.principal = principal
        if principal.owner and principal.terms is None:
            self._caller = Caller(_key(principal.owner), self._connection)

    def changed(self, event: str, object_id: str, outcome: str = "OK") -> None:
        """Says that the call has changed something, for the audit log. See Context."""
        if self.auditing is not None:
            self.auditing.changed(self, event, object_id, outcome)

    def refused(self, error: ConexionesError) -> None:
        """Says that a message of the call was refused, for the audit log. See Context."""
        if self.refusals is not None:
            self.refusals.of(error.reason).value += 1
        if self.auditing is not None:
            self.auditing.refused(self, error)

    def pace_by(self, pace: Pace) -> None:
        """Has the bytes of the call wait for the rate of its caller from now on."""
        self._pace = self.body.pace = pace

    def release(self) -> None:
        """Gives back the memory of the message that is worked on, and the turn, before the handler waits for
        something."""
        self.memory.release()
        if self.turn:
            self.turn.give()

    @property
    def subject(self) -> str:
        """The subject of the client's certificate, empty without mTLS."""
        found = _SUBJECT.search(self.header(CERTIFICATE).decode("latin-1"))
        return found[1] if found else ""

    async def send(self, message: Any) -> None:
        """ASGI's send(). If the client has gone away, sets `gone` and raises Cancelled."""
        if body := message.get("body"):
            self.sent.value += len(body)
            self.replied += len(body)
            if self._pace is not None:
                self._pace.moved(len(body))
        try:
            await self._send(message)
        except OSError as error:
            self.gone = True
            raise Cancelled from error

    def sends(self) -> Outgoing | None:
        """The replies on their way, made when they are needed first; None before the call is admitted."""
        if self.outgoing is None and self.replies is not None:
            self.outgoing = Outgoing(self.replies, self.caller, self.body)
        return self.outgoing

    async def send_piece(self, data: bytes) -> None:
        """Sends a piece of the body, behind which others come. It waits until Envoy has room, and keeps no
        copy of the piece while it does. Raises what `send` raises, and ClientStalled."""
        outgoing, size = self.sends(), len(data)
        self.replied += size
        if self._pace is not None:
            await self._rest(self._pace, size)
            self._pace.moved(size)
        self.sent.value += size
        taking = self._send({"type": "http.response.body", "body": data, "more_body": True})
        del data
        if outgoing is not None:
            outgoing.begin()
        try:
            await taking
        except OSError as error:
            self.gone = True
            raise Cancelled from error
        except asyncio.CancelledError:
            if outgoing is None or (ending := outgoing.ended()) is None:
                raise
            raise ending from None
        finally:
            if outgoing is not None:
                outgoing.took(size)

    async def _rest(self, pace: Pace, size: int) -> None:
        """Waits for the pace. Raises ClientStalled if others need the memory meanwhile."""
        seconds = pace.due(size)
        if not seconds:
            return
        outgoing = self.sends()
        if outgoing is not None:
            outgoing.begin(resting=True)
        try:
            await pace.rest(size, seconds)
        except asyncio.CancelledError:
            if outgoing is None or (ending := outgoing.ended()) is None:
                raise
            raise ending from None
        finally:
            if outgoing is not None:
                outgoing.rested()

    async def room_for(self, size: int) -> None:
        """Waits for memory for a reply of that size, and for the rate of its caller. To be called before the
        response begins. Raises ServerBusy, ClientStalled."""
        if size > FREE and self._pace is not None:
            await self._rest(self._pace, size)
        if size > FREE and (outgoing := self.sends()) is not None:
            await outgoing.hold_for(size)

    async def room_for_all(self, large: Large) -> None:
        """The same for large replies, before any of them is made."""
        if (outgoing := self.sends()) is not None:
            await outgoing.hold(large)

    async def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """Sends a whole HTTP response; without the body to HEAD. Raises what `send` and `room_for` raise."""
        content = b"" if self.verb == "HEAD" else body
        self.status = status
        await self.room_for(len(content))
        await self.send(
            {"type": "http.response.start", "status": status, "headers": headers, "trailers": False}
        )
        await self.send({"type": "http.response.body", "body": content, "more_body": False})
