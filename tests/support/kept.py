"""Servers that one process of the tests keeps from one test to the next."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from conexiones.testing import Server, serve

MOST = 6
"""Servers with settings that are kept. The one that was not used for longest goes."""

UNUSED_SECONDS = 20.0
"""After so long without use a server ends: in half a minute, looking after its connections and memory takes
about as much CPU as its start."""

DECODE_SECONDS = "60"
"""A setting of all servers: on a busy machine, a decoder may take more than the 10 seconds of the default."""


class KeptServers:
    """Servers by their settings."""

    def __init__(self) -> None:
        self._all = ExitStack()
        self._kept: dict[str, tuple[Server, ExitStack]] = {}  # the one that was used last is the last
        self._used: dict[str, float] = {}

    def give(self, **settings: Any) -> Server:
        """The server with these settings, which is started if none is kept."""
        key = repr(sorted(settings.items()))
        if key not in self._kept:
            if len(self._kept) == MOST:
                self._end(next(iter(self._kept)))
            own = self._all.enter_context(ExitStack())
            server = own.enter_context(serve(**{"decode_seconds": DECODE_SECONDS, **settings}))
            self._kept[key] = server, own
        self._kept[key] = self._kept.pop(key)
        self._used[key] = time.monotonic()
        return self._kept[key][0]

    def end_unused(self) -> None:
        """Between two tests."""
        now = time.monotonic()
        for key in [key for key in self._kept if now - self._used[key] > UNUSED_SECONDS]:
            self._end(key)

    def close(self) -> None:
        self._all.close()
        self._kept.clear()

    def __iter__(self) -> Iterator[Server]:
        return iter([server for server, _ in self._kept.values()])

    def _end(self, key: str) -> None:
        self._kept.pop(key)[1].close()
