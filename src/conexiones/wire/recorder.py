"""Turns what went over connections into events."""

import time
from collections.abc import Callable, Iterator

from conexiones.wire.contract import Contract
from conexiones.wire.events import Event, Part
from conexiones.wire.frames import PREFACE
from conexiones.wire.http1 import Http1
from conexiones.wire.http2 import Http2

Tell = Callable[[Event], None]
BOTH = 2
"""The sides of a connection."""


class Recorder:
    """Decodes all connections of a recording, and tells each event as it comes. Belongs to one thread."""

    def __init__(self, contract: Contract, tell: Tell) -> None:
        self._contract = contract
        self._tell = tell
        self._begun = time.monotonic()
        self._connections: dict[int, _Connection] = {}
        self._count = 0

    def number(self) -> int:
        """The number of a further connection."""
        self._count += 1
        self._connections[self._count] = _Connection(self._contract)
        return self._count

    def opened(self, connection: int) -> None:
        """The connection with this number has begun."""
        self._say(connection, True, 0, Part(kind="OPEN"))

    def passed(self, connection: int, sent: bool, data: bytes) -> None:
        """These bytes were sent by the client, or by the server."""
        for stream, part in self._connections[connection].feed(sent, data):
            self._say(connection, sent, stream, part)

    def closed(self, connection: int, sent: bool) -> None:
        """The client, or the server, has closed its side."""
        one = self._connections[connection]
        for stream, part in one.end(sent):
            self._say(connection, sent, stream, part)
        self._say(connection, sent, 0, Part(kind="CLOSED"))
        one.closed += 1
        if one.closed == BOTH:
            del self._connections[connection]

    def _say(self, connection: int, sent: bool, stream: int, part: Part) -> None:
        at = time.monotonic() - self._begun
        self._tell(Event(at=at, sent=sent, connection=connection, stream=stream, part=part))


class _Connection:
    """One connection, whose first bytes say which HTTP it is."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._begin = {True: b"", False: b""}
        self._speaks: Http1 | Http2 | None = None
        self.closed = 0
        """Sides that are closed."""

    def feed(self, sent: bool, data: bytes) -> Iterator[tuple[int, Part]]:
        if self._speaks is not None:
            yield from self._speaks.feed(sent, data)
            return
        self._begin[sent] += data
        first = self._begin[True]
        if first and not (len(first) < len(PREFACE) and PREFACE.startswith(first)):
            self._speaks = Http2(self._contract) if first.startswith(PREFACE) else Http1(self._contract)
            for side, held in self._begin.items():
                if held:
                    yield from self._speaks.feed(side, held)
            self._begin.clear()

    def end(self, sent: bool) -> Iterator[tuple[int, Part]]:
        if self._speaks is not None:
            yield from self._speaks.end(sent)
