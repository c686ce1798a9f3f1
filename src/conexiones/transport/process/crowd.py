"""Shares of connections: when they are nearly all taken, clients that have more than their share lose some.

Envoy limits connections only for all clients together, and closes those beyond, whoever comes. But the
application runs in Envoy's process, so it sees the sockets of all connections and can shut them down. For
Envoy, that is a client that went away. So that a new client is not the one that is turned away, Envoy takes
more connections than there may be (`burst`), and those that are too many are closed here.
"""

import asyncio
import os
import socket
import stat
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from conexiones.settings import Settings
from conexiones.shares import client_of
from conexiones.transport.process import descriptors

CROWDED = 0.7
"""The part of all connections from which on clients are held to their shares."""

PLACES = 8
"""Connections that a client may have in any case, unless there are so many clients that this is too much."""

LOOK_SECONDS, CALM_LOOK_SECONDS = 0.05, 0.2
"""Time between two looks, and while less than half of what CROWDED means is there: each look costs something,
also at night."""

_DESCRIPTORS = Path("/proc/self/fd")

_Socket = tuple[int, int]
"""Its inode, by which sockets sort in the order in which they were made, and its descriptor."""


class Crowd:
    """The connections of this process, of which there are at most so many. It has to be the process that
    accepts them, and `watches` has to say so."""

    def __init__(self, max_connections: int) -> None:
        self._most = max_connections
        self._crowded = int(max_connections * CROWDED)
        self._clients: dict[_Socket, str] = {}

    async def watch(self) -> None:
        """Keeps the shares until it is cancelled. Where the system does not tell sockets, it does nothing."""
        count = 0
        while _DESCRIPTORS.is_dir():  # noqa: ASYNC240 (it is no file on a disk)
            with suppress(OSError):  # there is no descriptor left to look with: it is tried again
                count = len(_descriptors())
                if count > self._crowded:
                    await asyncio.to_thread(self._look)
            await asyncio.sleep(LOOK_SECONDS if count > self._crowded // 2 else CALM_LOOK_SECONDS)

    def _look(self) -> None:
        """If there are too many connections, shuts down the newest ones of clients that have more than their
        share, which is half of what all others leave."""
        self._find()
        if len(self._clients) <= self._crowded:
            return
        counts = Counter(self._clients.values())
        # Clients that came in numbers beyond the limit count with what there would have been room for.
        room = _level(counts.values(), self._most)
        total = sum(min(count, room) for count in counts.values())
        places = min(PLACES, _level(counts.values(), self._crowded))
        left = {
            client: max(places, (self._most - (total - min(count, room))) // 2)
            for client, count in counts.items()
        }
        kept = 0
        for which, client in sorted(self._clients.items()):  # the oldest keep their places
            left[client] -= 1
            if left[client] >= 0 and kept < self._most:
                kept += 1
            else:
                _shut_down(which)

    def _find(self) -> None:
        known, self._clients = self._clients, {}
        for descriptor in map(int, _descriptors()):
            with suppress(OSError):
                status = os.fstat(descriptor)
                if stat.S_ISSOCK(status.st_mode):
                    which = status.st_ino, descriptor
                    if which not in known:
                        known[which] = _peer(descriptor)
                    if known[which]:
                        self._clients[which] = known[which]


def watches(settings: Settings) -> bool:
    """Whether connections are shared out: their peers are the clients themselves, not balancers."""
    return not (settings.trusted_proxies or settings.proxy_protocol) and _DESCRIPTORS.is_dir()


def burst(settings: Settings) -> int:
    """How many connections beyond `max_connections` Envoy takes: those that come between two looks. Who loses
    connections may open them again at once, some thousands a second."""
    return descriptors.left(settings) if watches(settings) else 0


def _level(counts: Collection[int], limit: int) -> int:
    """The most that each of them may have so that together they have at most `limit`; at least 1."""
    levels = range(1, max(counts) + 1)
    return max(1, bisect_right(levels, limit, key=lambda level: sum(min(count, level) for count in counts)))


def _descriptors() -> list[str]:
    return os.listdir(_DESCRIPTORS)  # noqa: PTH208 (in half the time of iterdir, with names alone)


def _peer(descriptor: int) -> str:
    """The client at the other end of a TCP connection; "" if the socket is none. Raises OSError."""
    with socket.socket(fileno=os.dup(descriptor)) as copy:
        if copy.family not in (socket.AF_INET, socket.AF_INET6) or copy.type != socket.SOCK_STREAM:
            return ""
        try:
            return client_of(copy.getpeername()[0])
        except OSError:  # it listens
            return ""


def _shut_down(which: _Socket) -> None:
    """Shuts the connection down, unless it is closed already and its descriptor is another one's."""
    inode, descriptor = which
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as copy:
        if os.fstat(copy.fileno()).st_ino == inode:
            copy.shutdown(socket.SHUT_RDWR)
