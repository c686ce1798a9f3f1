"""`python -m tests.replicas.kill_at ARGUMENT…` reads lines with a module, a name and a number. For each it
runs `conexiones` with the arguments, and kills it (SIGKILL) when that function is called for the time of that
number, before it does anything; then it prints how that has ended.

Each run is a fork of this process, which has imported everything and has no threads.
"""

import importlib
import os
import signal
import sys
from typing import Any

from conexiones.cli import main
from conexiones.upkeep import house_folder, house_shared, migrate

__all__ = ["house_folder", "house_shared"]


def kill_at(module: str, name: str, number: int) -> None:
    *owners, last = name.split(".")
    owner: Any = importlib.import_module(f"conexiones.{module}")
    for each in owners:
        owner = getattr(owner, each)
    found = getattr(owner, last)
    calls = 0

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return found(*args, **kwargs)

    setattr(owner, last, call)


if __name__ == "__main__":
    migrate.GROUP = 1  # so that each small image is moved by itself
    for line in sys.stdin:
        module, name, number = line.split()
        if not (child := os.fork()):
            kill_at(module, name, int(number))
            os.dup2(2, 1)
            main(sys.argv[1:])
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
