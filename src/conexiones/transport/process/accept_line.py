"""The line of connections that wait to be accepted, which the kernel keeps, is short while it does not move.

The kernel serves the line first come, first served, whoever it is, and nobody can reorder it. A long line
takes in a burst of new connections at once, and is gone in a moment. But a client that opens connections
faster than their first bytes can be looked at fills any line: a new client would wait seconds for all in
front of it. With a short line it waits a fraction of a second. TCP tries again after a second what does not
fit into the line; most of that is from the client that floods it.
"""

import asyncio
import os
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LONGEST = 4096
"""Connections that may wait to be accepted, as far as the kernel allows it (net.core.somaxconn). In the line,
a new client waits for those in front of it to be accepted, which takes some 100 µs each if they send nothing.
"""

SHORT = 128
"""The same while the line does not move. A hundred requests on each of them take some 2 ms."""

LOOK_SECONDS = 0.05
"""Time between two looks."""

STANDING_LOOKS = 4
"""So many looks one after the other at a longer line than SHORT, and it counts as one that does not move."""

CALM_LOOKS = 40
"""So many looks at a line of less than half of SHORT, and it may be long again."""

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
    kept, which would keep them open when Envoy closes them."""

    def __init__(self) -> None:
        self._sockets: list[_Socket] = []
        self._standing = 0
        self._calm = 0
        self._short = False

    async def watch(self) -> None:
        """Keeps the lines short while they do not move, until it is cancelled. Where the system does not tell
        how long they are, it does nothing."""
        while _DESCRIPTORS.is_dir():  # noqa: ASYNC240 (it is no file on a disk)
            self._sockets = await asyncio.to_thread(lambda: list(_listening()))
            while self._look():  # noqa: ASYNC110 (the kernel announces no change)
                await asyncio.sleep(LOOK_SECONDS)
            await asyncio.sleep(SEARCH_SECONDS)

    def _look(self) -> bool:
        """False if no socket listens any more, or none does yet."""
        lengths = [length for which in self._sockets if (length := waiting(which)) is not None]
        if not lengths:
            return False
        self._standing = self._standing + 1 if max(lengths) >= SHORT else 0
        self._calm = self._calm + 1 if max(lengths) < SHORT // 2 else 0
        if not self._short and self._standing >= STANDING_LOOKS:
            self._set(short=True)
        elif self._short and self._calm >= CALM_LOOKS:
            self._set(short=False)
        return True

    def _set(self, *, short: bool) -> None:
        self._short = short
        for which in self._sockets:
            with _opened(which) as one:
                if one is not None:
                    one.listen(SHORT if short else LONGEST)


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
