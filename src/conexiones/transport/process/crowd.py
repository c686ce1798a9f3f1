"""Shares of connections: when they are nearly all taken, clients that have more than their share lose some.

Envoy limits connections only for all clients together. But the application runs in Envoy's process, so it
sees the sockets of all connections and can shut them down. For Envoy, that is a client that went away.
"""

import asyncio
import os
import socket
import stat
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from conexiones.shares import client_of

CROWDED = 0.7
"""The part of all connections from which on clients are held to their shares. The rest is for those that come
between two looks: who loses connections may open them again at once, some thousands a second."""

PLACES = 8
"""Connections that a client may have in any case."""

LOOK_SECONDS = 0.25
CROWDED_SECONDS = 0.02
"""Time between two looks, usually and after clients have lost connections."""

ALARM_SECONDS = 5.0
"""How long looks stay frequent: who has lost connections comes back at once."""

_DESCRIPTORS = Path("/proc/self/fd")

_Socket = tuple[int, int]
"""Its inode, by which sockets sort in the order in which they were made, and its descriptor."""


class Crowd:
    """The connections of this process, of which there are at most so many. It has to be the process that
    accepts them, and their peers have to be the clients themselves, not balancers."""

    def __init__(self, max_connections: int) -> None:
        self._most = max_connections
        self._crowded = int(max_connections * CROWDED)
        self._clients: dict[_Socket, str] = {}

    async def watch(self) -> None:
        """Keeps the shares until it is cancelled. Where the system does not tell sockets, it does nothing."""
        alarm = 0.0
        while _DESCRIPTORS.is_dir():  # noqa: ASYNC240 (it is no file on a disk)
            if len(_descriptors()) > self._crowded and await asyncio.to_thread(self._look):
                alarm = time.monotonic() + ALARM_SECONDS
            await asyncio.sleep(CROWDED_SECONDS if time.monotonic() < alarm else LOOK_SECONDS)

    def _look(self) -> bool:
        """If there are too many connections, shuts down the newest ones of clients that have more than their
        share, which is half of what all others leave. Says whether there were any."""
        self._find()
        total = len(self._clients)
        if total <= self._crowded:
            return False
        left = {
            client: max(PLACES, (self._most - (total - count)) // 2)
            for client, count in Counter(self._clients.values()).items()
        }
        closed = 0
        for which, client in sorted(self._clients.items()):  # the oldest keep their places
            left[client] -= 1
            closed += left[client] < 0 and _shut_down(which)
        return closed > 0

    def _find(self) -> None:
        known, self._clients = self._clients, {}
        for descriptor in _descriptors():
            with suppress(OSError):
                status = os.fstat(descriptor)
                if stat.S_ISSOCK(status.st_mode):
                    which = status.st_ino, descriptor
                    if which not in known:
                        known[which] = _peer(descriptor)
                    if known[which]:
                        self._clients[which] = known[which]


def _descriptors() -> list[int]:
    return [int(entry.name) for entry in _DESCRIPTORS.iterdir()]


def _peer(descriptor: int) -> str:
    """The client at the other end of a TCP connection; "" if the socket is none. Raises OSError."""
    with socket.socket(fileno=os.dup(descriptor)) as copy:
        if copy.family not in (socket.AF_INET, socket.AF_INET6) or copy.type != socket.SOCK_STREAM:
            return ""
        try:
            return client_of(copy.getpeername()[0])
        except OSError:  # it listens
            return ""


def _shut_down(which: _Socket) -> bool:
    """Shuts the connection down, unless it is closed already and its descriptor is another one's."""
    inode, descriptor = which
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as copy:
        if os.fstat(copy.fileno()).st_ino == inode:
            copy.shutdown(socket.SHUT_RDWR)
            return True
    return False
