"""Load by h2load, an HTTP/2 client in C that sends bodies from a file."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.peers.server_process import Failed

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


@dataclass(frozen=True, slots=True)
class Load:
    """seconds: from the first connection to the last answer. received: bytes of the messages in all
    answers."""

    seconds: float
    received: int


def h2load(
    address: str,
    path: str,
    body: Path,
    *,
    requests: int = 1,
    connections: int = 1,
    streams: int = 1,
    headers: Sequence[str] = (),
) -> Load:
    """Makes `requests` gRPC calls, `streams` at a time on each connection. `headers` are further ones, as
    "name: value". Raises Failed unless all succeed.

    h2load does not report the gRPC status, which is in the trailers. So the caller has to check what was
    stored.
    """
    program = shutil.which("h2load")
    if program is None:
        raise Failed("h2load is missing: apt install nghttp2-client")
    command = [program, "-n", str(requests), "-c", str(connections), "-m", str(streams), "-d", str(body)]
    for header in ("content-type: application/grpc", "te: trailers", *headers):
        command += ["-H", header]
    command.append(f"http://{address}{path}")
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    return read(done.stdout + done.stderr, requests)


def read(text: str, requests: int) -> Load:
    """Reads the output of h2load. Raises Failed unless all of that many requests succeeded."""
    finished = re.search(r"finished in ([\d.]+)(us|ms|s),", text)
    succeeded = re.search(r"(\d+) succeeded", text)
    received = re.search(r"\((\d+)\) data", text)
    if not (finished and succeeded and received) or int(succeeded[1]) != requests:
        raise Failed(text)
    return Load(float(finished[1]) * _UNITS[finished[2]], int(received[1]))
