"""Envoy's admin interface, over a socket in the server's private folder."""

import asyncio
import http.client
import logging
import socket
from pathlib import Path

SOCKET = "admin.sock"

log = logging.getLogger("conexiones.supervisor")


async def ask(folder: Path, command: str, *, method: str = "GET") -> bytes:
    """Sends a command, and gives what Envoy answers. Raises OSError."""

    def ask() -> bytes:
        connection = http.client.HTTPConnection("admin", timeout=3)
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.connect(str(folder / SOCKET))
            connection.request(method, command)
            return connection.getresponse().read()
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    return await asyncio.to_thread(ask)


async def tell(folder: Path, command: str) -> None:
    """Sends a command that changes something. If Envoy does not take it, that is only logged."""
    try:
        await ask(folder, command, method="POST")
    except OSError as error:
        log.debug("Envoy did not take %s: %s", command, error)
