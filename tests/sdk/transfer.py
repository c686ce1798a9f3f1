"""A client in a process of its own: transfer.py put|get|peak ADDRESS …; it prints a line for each step."""

import sys
import time
from pathlib import Path

from conexiones import Client


def peak_kib() -> int:
    """The most memory that this process ever had resident, in KiB (VmHWM)."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1])


def main(what: str, address: str, *rest: str) -> None:
    with Client(address) as client:
        if what == "put":
            image = client.upload(
                rest[0], resume=True, chunk_size=65536, progress=lambda done, _: print(done, flush=True)
            )
            print(image.id, flush=True)
        elif what == "get":
            client.download(rest[0], rest[1], progress=lambda done, _: print(done, flush=True))
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
