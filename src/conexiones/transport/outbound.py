"""The way of an answer to its client, who may have gone away: that is no fault of the server."""

from typing import Any

from conexiones.errors import Cancelled
from conexiones.transport.wire import Send


class Outbound:
    """The ASGI send() of one request. Raises Cancelled, and is `gone`, once the client is."""

    __slots__ = ("_send", "gone")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.gone = False

    async def __call__(self, message: Any) -> None:
        try:
            await self._send(message)
        except OSError as error:
            self.gone = True
            raise Cancelled from error
