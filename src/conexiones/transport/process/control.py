"""The line between the supervisor and the application inside Envoy: JSON lines over a socket pair."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from typing import Any

VARIABLE = "CONEXIONES_CONTROL_FD"
"""The environment variable with the descriptor of the application's end of the pair."""

LONGEST = 64 << 20
"""The most bytes of a line. The figures of all instruments are some 100 KB."""


class Control:
    """One end of the line.

    The application says {"event": "ready"}, {"event": "failed", "why": …}, {"event": "idle"} or
    {"event": "alive"}; the supervisor says {"event": "drain"}, {"event": "cut"} when the grace is over,
    {"event": "reload"} when files are to be read again, and {"event": "alive?"}. It also asks, with
    {"event": "ask", "what": …, "number": …}, and is answered with {"event": "told", "answer": …} and the
    same number.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._questions = 0

    @classmethod
    async def open(cls, end: socket.socket) -> "Control":
        end.setblocking(False)
        return cls(*await asyncio.open_unix_connection(sock=end, limit=LONGEST))

    @classmethod
    async def of_supervisor(cls) -> "Control | None":
        """The application's end; None if no supervisor has started this process."""
        number = os.environ.get(VARIABLE)
        return await cls.open(socket.socket(fileno=int(number))) if number else None

    def say(self, event: str, **fields: Any) -> None:
        if not self._writer.is_closing():
            self._writer.write(json.dumps({"event": event, **fields}).encode() + b"\n")

    async def ask(self, what: str) -> Any:
        """What the other end answers, for as long as it takes. Somebody has to read `events` meanwhile."""
        self._questions += 1
        number, answer = self._questions, asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            self.say("ask", what=what, number=number)
            return await answer
        finally:
            del self._asked[number]

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """What the other end says, until it closes the line. Answers go to whoever has asked."""
        try:
            while line := await self._reader.readline():
                event: dict[str, Any] = json.loads(line)
                if event["event"] != "told":
                    yield event
                elif (asked := self._asked.get(event["number"])) and not asked.done():
                    asked.set_result(event["answer"])
        except ConnectionError:
            return

    async def close(self) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return
