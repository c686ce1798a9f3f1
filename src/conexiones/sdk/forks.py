"""What becomes of clients when their process forks.

gRPC does not survive a fork: its threads are gone in the child, where a call would wait for them for ever, or
crash. So before a fork, the connections of all clients are given up if no call is in flight. gRPC then ends
all its threads, so parent and child begin anew, and each connects again with its next call. If a call is in
flight, the parent goes on undisturbed; in the child every call of a client raises ForkedInCall, at once.

The hooks of `os.register_at_fork` do this, which all that forks in Python runs: `os.fork`, `multiprocessing`,
web servers with workers. A fork by other means is noticed in the child by its process id.
"""

import ctypes
import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakSet

_POLLER = "_poll_wrapper"
"""In the name of the thread of grpc.aio, which is there while there are channels, whoever has them."""
_NATIVE = {"event_engine", "grpc_global_tim", "grpc_shutdown", "lifeguard", "timer_manager"}
"""Names, on Linux, of threads of gRPC that Python does not know. They end a little later."""

_SUPPORT = "GRPC_ENABLE_FORK_SUPPORT"
_AT_LOADING = {
    # gRPC's own handlers of forks sometimes crash a child that was forked in a call.
    _SUPPORT: "0",
    # Errors are raised, once; its own log would say many lines for every attempt to connect.
    "GRPC_VERBOSITY": "NONE",
}
_support = os.environ.get(_SUPPORT, "" if "grpc" in sys.modules else _AT_LOADING[_SUPPORT])
_HANDLED = _support.lower() not in {"0", "f", "false", "n", "no"}
"""Whether gRPC's own handlers of forks are there, which let channels of the program itself survive."""

_ours = {name: value for name, value in _AT_LOADING.items() if name not in os.environ}
os.environ.update(_ours)
# It reads these variables when it is loaded: here, unless the program has loaded it before.
import grpc  # noqa: E402

for _name in _ours:
    del os.environ[_name]

END_SECONDS, MOST_SECONDS = 6.0, 10.0
"""How long a fork waits for the threads of gRPC to end. They take milliseconds; seconds where many others use
the processor; and 5 seconds where a host that was connected to says nothing: an attempt to connect has that
long even when nobody wants it any more (connection.py)."""

_OWN = (grpc.Channel, grpc.Server)
OWN_SECONDS = 0.3
"""After this it looks once whether the program has channels or servers of gRPC itself, whose threads stay."""

LOOKS = 100
"""How often it looks at least, within MOST_SECONDS: on a busy machine a look takes longer, and so do they."""

NONE_LOOKS = 4
"""So many looks in a row must find none: a thread that has just begun does not have its name yet."""


class ForkedInCall(RuntimeError):
    """This process was forked while gRPC was in use in its parent."""

    def __init__(self) -> None:
        super().__init__(
            "This process was forked while gRPC was in use, which does not survive that: a client was in a"
            " call, or the program has channels of gRPC itself. Fork while no call is in flight, or start"
            ' processes with the method "spawn" or "forkserver".'
        )


class Forkable(Protocol):
    """What has connections. Its methods are called while no other thread begins a call."""

    def give_up(self) -> bool:
        """Closes the connection if no call is in flight. Gives whether one is."""
        ...

    def held(self) -> list[Any]:
        """The connections that there are, and forgets them: a child must never touch them."""
        ...


class _Process:
    def __init__(self, *, broken: bool = False) -> None:
        self.id = os.getpid()
        self.broken = broken
        self.doomed = False
        """Whether gRPC is in use while this process forks, so that the child cannot use it."""
        self.used = False
        """Whether a client has connected since the last fork."""
        self.lock = threading.RLock()


_here = _Process()
_all: WeakSet[Forkable] = WeakSet()
_forget: list[Callable[[], object]] = []


def register(one: Forkable) -> None:
    """Tells `one` of forks, for as long as it lives."""
    with _here.lock:
        _all.add(one)


def in_child(forget: Callable[[], object]) -> None:
    """Has `forget` called in every child, to replace what a child cannot use."""
    _forget.append(forget)


def leak(thing: object) -> None:
    """Never frees an object: its end would wait for threads that a child does not have, or act on files that
    it shares with its parent."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def check() -> None:
    """Raises ForkedInCall if no call can be made in this process."""
    if os.getpid() != _here.id:
        _after_in_child()  # forked without the hooks
    if _here.broken:
        raise ForkedInCall


@contextmanager
def beginning() -> Iterator[None]:
    """Around the beginning of a call, so that no fork happens meanwhile. Raises ForkedInCall."""
    check()
    with _here.lock:
        _here.used = True
        yield


def _before() -> None:
    _here.lock.acquire()
    busy = {one.give_up() for one in list(_all)} & {True}
    if not busy and _here.used:
        _wait_for_grpc()
    _here.doomed = bool(busy) or _polls() or (not _HANDLED and _native_threads())


def _after_in_parent() -> None:
    _here.used = _here.doomed
    _here.lock.release()


def _after_in_child() -> None:
    global _here
    held = [thing for one in list(_all) for thing in one.held()]
    for thing in held:
        leak(thing)
    _here = _Process(broken=_here.broken or _here.doomed or bool(held))
    for forget in _forget:
        forget()


def _wait_for_grpc() -> None:
    """Waits until gRPC has ended its threads: calls that have just ended may still have some."""
    begun, looks, none, pause, alone = time.monotonic(), 0, 0, 0.001, False
    while none < NONE_LOOKS:
        if _polls() or _native_threads():
            none = 0
            waited = time.monotonic() - begun
            if waited > (MOST_SECONDS if looks < LOOKS else END_SECONDS):
                return
            if waited > OWN_SECONDS and not alone:
                if any(issubclass(type(one), _OWN) for one in gc.get_objects()):
                    return
                alone = True
            gc.collect()  # calls that failed may be in cycles with their exceptions
        else:
            none += 1
        time.sleep(pause)
        looks, pause = looks + 1, min(1.5 * pause, 0.02)


def _polls() -> bool:
    return any(_POLLER in thread.name for thread in threading.enumerate())


def _native_threads() -> bool:
    for task in Path("/proc/self/task").glob("*/comm"):
        with suppress(OSError):  # it has just ended
            if task.read_text().strip() in _NATIVE:
                return True
    return False


os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
