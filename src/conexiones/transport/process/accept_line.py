"""The line of connections that wait to be accepted, which the kernel keeps, is shared out while it does not
move.

The kernel serves the line first come, first served, whoever it is, and nobody can reorder it. A long line
takes in a burst of new connections at once, and is gone in a moment. But a client that opens connections
faster than their first bytes can be looked at fills any line: a new client would wait seconds for all in
front of it. So a client that has more than its share of a line that does not move is held off until that is
nearly gone (syn_filter.py).

Where nobody has too many of them, or the system knows no such filter, the line is short while it does not
move. TCP tries again after a second what does not fit into it.
"""

import asyncio
import os
import socket
import stat
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from conexiones.transport.process import syn_filter

LONGEST = 4096
"""Connections that may wait to be accepted, as far as the kernel allows it (net.core.somaxconn). In the line,
a new client waits for those in front of it to be accepted, which takes some 100 µs each if they send nothing.
"""

SHORT = 128
"""The same while the line does not move. A hundred requests on each of them take some 2 ms."""

LOOK_SECONDS, EMPTY_LOOK_SECONDS = 0.02, 0.1
"""Time between two looks, and while the line was empty at the last EMPTY_LOOKS: each look costs something,
also at night. Whoever floods a line needs twice as long as the first to make it FULL."""

EMPTY_LOOKS = 50

FULL, GONE = SHORT // 2, SHORT // 8
"""Clients are held off from the first of these lengths on, until the line has the second."""

STANDING_LOOKS = 3
"""So many looks one after the other at a line that is FULL, and it counts as one that does not move."""

LONG_LOOKS, GROWING_LOOKS = 10, 25
"""So many looks at a line that is longer than SHORT and does not become shorter, and it is made short: where
it is not shared out, and where it is."""

CALM_LOOKS = 100
"""So many looks at a line that is not FULL, while nobody is held off, and it moves again."""

SEARCH_AGAIN_SECONDS = 0.2
"""Time until it is asked again whose a line is, if nobody has too much of it."""

PLACES = 8
"""Connections that a client may have in a line in any case."""

SEARCH_SECONDS = 1.0
"""Time between two searches for sockets that listen, while there are none."""

_Socket = tuple[int, int]
"""Its inode and its descriptor."""

_DESCRIPTORS = Path("/proc/self/fd")

# struct tcp_info of <linux/tcp.h>. Of a socket that listens, `unacked` is the length of the line.
_STATE, _LISTENS = 0, 10
_UNACKED = struct.Struct("=24xI")


class AcceptLine:
    """The lines of the TCP sockets on which this process listens. They belong to Envoy: no copy of them is
    kept, which would keep them open when Envoy closes them. `shared` says that the peers are the clients
    themselves, not balancers, so that the line can be shared out among them."""

    def __init__(self, *, shared: bool = True) -> None:
        self._shared = shared
        self._sockets: list[_Socket] = []
        self._last = 0
        self._full = self._standing = self._calm = self._empty = 0  # looks
        self._alert = self._short = False
        self._asked = 0.0  # when a line was found to be nobody's
        self._held_off: dict[_Socket, int] = {}  # where clients are, and how long the line was at least since

    async def watch(self) -> None:
        """Watches the lines until it is cancelled. It has a thread: the event loop has much to do while a
        client floods them. Where the system does not tell how long they are, it does nothing."""
        ended = threading.Event()
        with ThreadPoolExecutor(1, "accept-line") as thread:
            try:
                await asyncio.get_running_loop().run_in_executor(thread, self._watch, ended)
            finally:
                ended.set()

    def _watch(self, ended: threading.Event) -> None:
        while _DESCRIPTORS.is_dir() and not ended.is_set():
            with suppress(OSError):  # there is no descriptor left to look with: it is tried again
                self._sockets = list(_listening())
                while not ended.is_set() and self._look():
                    if self._alert and self._shared:
                        self._share_out()
                    empty = self._empty >= EMPTY_LOOKS and not self._alert
                    ended.wait(EMPTY_LOOK_SECONDS if empty else LOOK_SECONDS)
            ended.wait(SEARCH_SECONDS)

    def _look(self) -> bool:
        """False if no socket listens any more, or none does yet."""
        lengths = [length for which in self._sockets if (length := waiting(which)) is not None]
        if not lengths:
            return False
        longest, before, self._last = max(lengths), self._last, max(lengths)
        self._empty = 0 if longest else self._empty + 1
        full = longest >= FULL
        self._full = self._full + 1 if full else 0
        self._standing = self._standing + 1 if longest >= max(SHORT, before) else 0
        self._calm = 0 if full or self._held_off else self._calm + 1
        if self._full >= STANDING_LOOKS:
            self._alert = True
        if not self._short and self._standing >= (GROWING_LOOKS if self._shared else LONG_LOOKS):
            self._set(short=True)
        if self._alert and self._calm >= CALM_LOOKS:
            self._alert = False
            if self._short:
                self._set(short=False)
        return True

    def _share_out(self) -> None:
        """Holds clients off that have more than their share of a line, until it is nearly gone."""
        for which in self._sockets:
            length, least = waiting(which) or 0, self._held_off.get(which, 0)
            if length >= (SHORT if least else FULL) and length > least:
                # Nobody is held off yet, or others fill the line now.
                now = time.monotonic()
                if now < self._asked + SEARCH_AGAIN_SECONDS:
                    continue
                if _hold_off(which):
                    self._held_off[which] = length
                else:
                    self._asked = now
            elif length <= GONE and least:
                del self._held_off[which]
                with suppress(OSError), _opened(which) as one:
                    if one is not None:
                        syn_filter.let_in(one)
            elif least:
                self._held_off[which] = min(length, least)

    def _set(self, *, short: bool) -> None:
        self._short = short
        for which in self._sockets:
            with suppress(OSError), _opened(which) as one:
                if one is not None:
                    one.listen(SHORT if short else LONGEST)


def _hold_off(which: _Socket) -> bool:
    """Gives whether anybody is held off now, which the system may not allow."""
    with suppress(OSError), _opened(which) as one:
        if one is not None and (greedy := greedy_of(syn_filter.line_of(one))):
            syn_filter.hold_off(one, greedy)
            return True
    return False


def greedy_of(line: Counter[bytes]) -> list[bytes]:
    """The clients that have most of a line, until the others together would not have it FULL. Those that have
    no more than PLACES are not among them."""
    found, left = [], line.total()
    for client, count in line.most_common(syn_filter.MOST):
        if left < FULL or count <= PLACES:
            break
        found.append(client)
        left -= count
    return found


def waiting(which: _Socket) -> int | None:
    """How many connections wait to be accepted; None if the socket does not listen any more."""
    with _opened(which) as one:
        return None if one is None else _UNACKED.unpack(_told(one))[0]


def _told(one: socket.socket) -> bytes:
    return one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _UNACKED.size)


@contextmanager
def _opened(which: _Socket) -> Iterator[socket.socket | None]:
    """A copy of the socket for a moment; None if it does not listen, or its descriptor is another one's."""
    inode, descriptor = which
    one = None
    with suppress(OSError):
        status = os.fstat(descriptor)
        if stat.S_ISSOCK(status.st_mode) and status.st_ino == inode:
            one = socket.socket(fileno=os.dup(descriptor))
    try:
        yield one if one is not None and _listens(one) else None
    finally:
        if one is not None:
            one.close()


def _listens(one: socket.socket) -> bool:
    try:
        return (
            one.family in (socket.AF_INET, socket.AF_INET6)
            and one.type == socket.SOCK_STREAM
            and _told(one)[_STATE] == _LISTENS
        )
    except OSError:
        return False


def _listening() -> Iterator[_Socket]:
    """The sockets of TCP on which this process listens, each once."""
    found = set()
    for descriptor in map(int, os.listdir(_DESCRIPTORS)):  # noqa: PTH208 (in half the time of iterdir)
        with suppress(OSError):
            which = os.fstat(descriptor).st_ino, descriptor
            if which[0] not in found and waiting(which) is not None:
                found.add(which[0])
                yield which
