"""A relay before a server that stops an upload in the middle, so that a test is never too late to act.

Uploads on one machine are over in a moment. Without the relay, a test would need a film so large that it is
still being sent when the test acts, which costs the browser seconds of CPU.
"""

import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from conexiones.addresses import split
from tests.page.browser import Served

PIECE = 64 << 10
_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR


class Gate:
    """Stands before a server at `address`, or before the first one of several that is there. `holds` are
    numbers of bytes that have come from clients, in all. The connection that brings the byte is held until it
    is closed, or until `release` is called. All others go on."""

    def __init__(self, targets: list[str], holds: tuple[int, ...]) -> None:
        self._targets = [split(target) for target in targets]
        self._holds = list(holds)
        self._come = 0
        self._lock = threading.Lock()
        self._released = os.eventfd(0)
        self._ends: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._accepting = threading.Thread(target=self._accept, name="gate")
        self._accepting.start()

    def release(self) -> None:
        """Lets what is held, and all that comes later, go on."""
        os.eventfd_write(self._released, 1)

    def close(self) -> None:
        _shut(self._listener)
        self._accepting.join()
        self._listener.close()
        with self._lock:
            ends = list(self._ends)
        _shut(*ends)
        for thread in self._threads:
            thread.join()
        os.close(self._released)

    def _accept(self) -> None:
        with suppress(OSError):  # it is closed
            while True:
                client, _ = self._listener.accept()
                thread = threading.Thread(target=self._relay, args=(client,), name="gate of a connection")
                self._threads.append(thread)
                thread.start()

    def _relay(self, client: socket.socket) -> None:
        with client, suppress(OSError), self._connected() as server:
            with self._lock:
                self._ends |= {client, server}
            down = threading.Thread(target=_copy, args=(server, client), name="gate of answers")
            down.start()
            try:
                while piece := client.recv(PIECE):
                    if self._is_held(len(piece)) and not self._waits(client):
                        break
                    server.sendall(piece)
            finally:
                _shut(client, server)
                down.join()
                with self._lock:
                    self._ends -= {client, server}

    def _connected(self) -> socket.socket:
        for target in self._targets[:-1]:
            with suppress(OSError):
                return socket.create_connection(target)
        return socket.create_connection(self._targets[-1])

    def _is_held(self, count: int) -> bool:
        with self._lock:
            self._come += count
            if held := bool(self._holds) and self._come >= self._holds[0]:
                self._holds.pop(0)
            return held

    def _waits(self, client: socket.socket) -> bool:
        """Whether it is released before the connection is closed."""
        both = select.poll()
        both.register(client, _GONE)
        both.register(self._released, select.POLLIN)
        return client.fileno() not in dict(both.poll())


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(PIECE):
            sink.sendall(piece)
    _shut(source, sink)


def _shut(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def gate(server: Served | list[Served], *holds: int) -> Iterator[Gate]:
    """Of several servers, whose first one has all connections while it is there."""
    servers = server if isinstance(server, list) else [server]
    relay = Gate([one.address for one in servers], holds)
    try:
        yield relay
    finally:
        relay.close()
