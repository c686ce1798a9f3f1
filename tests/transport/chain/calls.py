"""Calls as Envoy brings them, with a client that the test plays."""

import asyncio
from typing import Any

from conexiones.transport.chain.call import Call, Endpoint, Exemption, Kind, Route


class Client:
    """The other end of a call. `sent` is what it got; `asked` how often the server asked for more of it."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.asked = 0
        self.cancelled = 0
        self.lost = False
        self._events: asyncio.Queue[Any] = asyncio.Queue()

    def write(self, body: bytes, *, end: bool = False) -> None:
        self._events.put_nowait({"type": "http.request", "body": body, "more_body": not end})

    def leave(self) -> None:
        self._events.put_nowait({"type": "http.disconnect"})

    async def receive(self) -> Any:
        self.asked += 1
        try:
            return await self._events.get()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def send(self, message: Any) -> None:
        if self.lost:
            raise OSError
        self.sent.append(message)


async def nothing(call: Call) -> None:
    pass


def call(
    client: Client,
    *,
    endpoint: Endpoint = nothing,
    protocol: Kind = "grpc",
    seconds: float | None = None,
    exempt: frozenset[Exemption] = frozenset(),
    verb: str = "POST",
    headers: dict[bytes, bytes] | None = None,
    peer: tuple[str, int] = ("127.0.0.1", 1),
    brief: bool = False,
) -> Call:
    scope = {
        "headers": list((headers or {}).items()),
        "path": "/a.B/C",
        "query_string": b"",
        "method": verb,
        "client": peer,
    }
    route = Route(service="a.B", method="C", endpoint=endpoint, needs="none", exempt=exempt, brief=brief)
    index = headers or {}
    return Call(
        scope, client.receive, client.send, route=route, protocol=protocol, index=index, seconds=seconds
    )
