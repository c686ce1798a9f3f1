"""The line between the supervisor and the application inside Envoy: JSON lines over a socket pair."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from typing import Any

VARIABLE = "CONEXIONES_CONTROL_FD"
"""The environment variable with the descriptor of the application's end of the pair."""


class Control:
    """One end of the line.

    The application says {"event": "ready"}, {"event": "failed", "why": …}, {"event": "idle"} or
    {"event": "alive"}; the supervisor says {"event": "drain"}, {"event": "cut"} when the grace is over,
    {"event": "reload"} when files are to be read again, and {"event": "alive?"}.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, end: socket.socket) -> "Control":
        end.setblocking(False)
        return cls(*await asyncio.open_unix_connection(sock=end))

    @classmethod
    async def of_supervisor(cls) -> "Control | None":
        """The application's end; None if no supervisor has started this process."""
        number = os.environ.get(VARIABLE)
        return await cls.open(socket.socket(fileno=int(number))) if number else None

    def say(self, event: str, **fields: Any) -> None:
        if not self._writer.is_closing():
            self._writer.write(json.dumps({"event": event, **fields}).encode() + b"\n")

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """What the other end says, until it closes the line."""
        try:
            while line := await self._reader.readline():
                yield json.loads(line)
        except ConnectionError:
            return

    async def close(self) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return
