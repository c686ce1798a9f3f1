"""Sends large bodies, which the kernel reads from a file (sendfile).

This takes half of the CPU time of h2load, which matters because the load shares the cores with the server.
"""

import socket
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

from bench.load.http2 import DATA, END_STREAM, FRAME, HEAD, Connection, frame
from bench.peers.server_process import Failed

LARGEST = 1 << 18
"""Bytes of the frames that are sent, if the server accepts frames of this size; otherwise they have FRAME
bytes."""


def grpc(address: str, path: str, frames: Callable[[int], Path]) -> float:
    """Makes one call, and returns the seconds from the connection to the end of the answer.

    `frames` returns, for a size, a file with the body as DATA frames of that size (but for the last) of
    stream 1. Raises Failed unless the answer contains one message.
    """
    file = frames(size := _frame(address, path))
    begin = perf_counter()
    connection = Connection(address, path, 1)
    connection.open()
    stream = connection.streams[1]
    messages = 0
    with file.open("rb") as source:
        position, end = 0, file.stat().st_size
        while position < end:
            room = min(stream.window, connection.window) // size
            if not room:
                messages += sum(1 for _ in connection.receive())
                continue
            length = min(room * (HEAD + size), end - position)
            connection.socket.sendfile(source, position, length)
            position += length
            payload = length - -(-length // (HEAD + size)) * HEAD
            stream.window -= payload
            connection.window -= payload
    connection.socket.sendall(frame(DATA, END_STREAM, stream.number))
    while not stream.ended:
        messages += sum(1 for _ in connection.receive())
    connection.socket.close()
    if messages != 1:
        raise Failed(f"{messages} messages in the answer")
    return perf_counter() - begin


def http(url: str, method: str, source: Path, **headers: str) -> None:
    """Sends a file over HTTP/1.1. Raises Failed unless the status of the answer is 200 to 299."""
    where = urlsplit(url)
    lines = [
        f"{method} {where.path} HTTP/1.1",
        f"Host: {where.netloc}",
        f"Content-Length: {source.stat().st_size}",
        "Connection: close",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    with socket.create_connection((where.hostname or "", where.port or 80), timeout=600) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        with source.open("rb") as file:
            connection.sendfile(file)
        answer = b""
        while data := connection.recv(1 << 16):
            answer += data
    if not answer.startswith(b"HTTP/1.1 2"):
        raise Failed(f"{method} {url}: {answer[:200]!r}")


def _frame(address: str, path: str) -> int:
    """The size of the frames to send to this server, in bytes."""
    connection = Connection(address, path, 0)
    connection.open()
    connection.socket.close()
    return LARGEST if min(connection.largest, connection.initial) >= LARGEST else FRAME
