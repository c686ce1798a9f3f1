"""A process that dies at a given step. Needs the standard library only."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def die_before_change(nth: int, *folders: str, with_parent: bool = False) -> None:  # noqa: C901
    """Kills the process before its nth change to a file in the folders: that it is created, renamed, linked,
    removed (Python's audit events), written or synced. A write counts twice: the second time, half of it is
    done."""
    left = nth

    def step(path: str) -> bool:
        """Whether the process is to die now."""
        nonlocal left
        left -= path.startswith(folders)
        return left < 0

    def die() -> None:
        if with_parent:
            os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        change = event in ("os.rename", "os.link", "os.remove") or (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT
        )
        if change and step(str(arguments[0])):
            die()

    def watched(name: str) -> Callable[..., object]:
        call = getattr(os, name)

        def stand_in(descriptor: int, *arguments: Any) -> object:
            path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
            if step(path):
                die()
            if name == "pwritev" and step(path):
                data = b"".join(arguments[0])
                os.pwrite(descriptor, data[: len(data) // 2], arguments[1])
                die()
            return call(descriptor, *arguments)

        return stand_in

    for name in ("pwritev", "fdatasync", "ftruncate"):
        setattr(os, name, watched(name))
    sys.addaudithook(watch)
