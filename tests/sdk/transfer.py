"""A client in a process of its own: transfer.py put|get|peak ADDRESS …; it prints a line for each step.

The last argument of put and get may be a number of bytes. When more are through, it stands still.
"""

import math
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from conexiones import Client


def peak_kib() -> int:
    """The most memory that this process ever had resident, in KiB (VmHWM)."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1])


def until(most: float) -> Callable[[int, int | None], None]:
    """A callback that prints how many bytes are through, and does not return when they are more than that."""

    def progress(done: int, _: int | None) -> None:
        print(done, flush=True)
        if done > most:
            threading.Event().wait()

    return progress


def main(what: str, address: str, *rest: str) -> None:
    with Client(address) as client:
        if what == "put":
            most = float(rest[1]) if rest[1:] else math.inf
            image = client.upload(rest[0], resume=True, chunk_size=65536, progress=until(most))
            print(image.id, flush=True)
        elif what == "get":
            most = float(rest[2]) if rest[2:] else math.inf
            client.download(rest[0], rest[1], progress=until(most))
        elif what == "peak":
            source, target = map(Path, rest)
            size = source.stat().st_size
            begun = time.monotonic()
            image = client.upload(source)
            between = time.monotonic()
            client.download(image.id, target)
            end = time.monotonic()
            print(peak_kib(), size / (between - begun) / 1e6, size / (end - between) / 1e6)


if __name__ == "__main__":
    main(*sys.argv[1:])
