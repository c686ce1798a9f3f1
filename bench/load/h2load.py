"""Load by h2load, a client of HTTP/2 and HTTP/1.1 in C: gRPC calls with bodies from a file, and GETs."""

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
    options = ["-m", str(streams), "-d", str(body)]
    headers = ("content-type: application/grpc", "te: trailers", *headers)
    return read(_run(f"http://{address}{path}", requests, connections, options, headers), requests)


def gets(
    url: str,
    *,
    requests: int,
    connections: int,
    streams: int | None,
    headers: Sequence[str] = (),
    method: str = "GET",
) -> Load:
    """Makes requests without a body, `streams` at a time on each connection over HTTP/2, or one over HTTP/1.1
    where that is None. Raises Failed unless the status of all is 200 to 399."""
    options = ["--h1"] if streams is None else ["-m", str(streams)]
    if method != "GET":
        headers = (f":method: {method}", *headers)
    return read(_run(url, requests, connections, options, headers), requests)


def _run(url: str, requests: int, connections: int, options: Sequence[str], headers: Sequence[str]) -> str:
    program = shutil.which("h2load")
    if program is None:
        raise Failed("h2load is missing: apt install nghttp2-client")
    command = [program, "-n", str(requests), "-c", str(connections), *options]
    for header in headers:
        command += ["-H", header]
    done = subprocess.run([*command, url], capture_output=True, text=True, check=False, timeout=600)
    return done.stdout + done.stderr


def read(text: str, requests: int) -> Load:
    """Reads the output of h2load. Raises Failed unless all of that many requests succeeded."""
    finished = re.search(r"finished in ([\d.]+)(us|ms|s),", text)
    succeeded = re.search(r"(\d+) succeeded", text)
    received = re.search(r"\((\d+)\) data", text)
    if not (finished and succeeded and received) or int(succeeded[1]) != requests:
        raise Failed(text)
    return Load(float(finished[1]) * _UNITS[finished[2]], int(received[1]))
