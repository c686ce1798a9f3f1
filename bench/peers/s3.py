"""A local S3 server (SeaweedFS), which calls no fsync, and obstore as its client."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from bench.peers.server_process import ROOT, START_SECONDS, STOP_SECONDS, Failed

PLACE = Path(sys.executable).parent
BUCKET = "images"


@dataclass(frozen=True, slots=True)
class Peer:
    url: str
    python: Path


@contextmanager
def server(folder: Path) -> Iterator[Peer]:
    """Runs the server, with an empty bucket. Raises Failed if it is not installed."""
    weed, python = PLACE / "weed", PLACE / "python"
    if not weed.exists() or not python.exists():
        raise Failed("SeaweedFS and obstore are not installed: make setup")
    folder.mkdir(parents=True)
    ports = dict(zip(("master", "volume", "filer", "s3"), _free_ports(4), strict=True))
    command = [str(weed), "-logdir", str(folder), "server", "-ip=127.0.0.1", f"-dir={folder}", "-s3"]
    command += ["-filer", f"-master.port={ports['master']}", f"-volume.port={ports['volume']}"]
    command += [f"-filer.port={ports['filer']}", f"-s3.port={ports['s3']}", "-master.volumeSizeLimitMB=1024"]
    for name in ("master", "volume", "filer", "s3"):
        command.append(f"-{name}.port.grpc={_free_ports(1)[0]}")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
    url = f"http://127.0.0.1:{ports['s3']}"
    try:
        _make_bucket(url, process)
        yield Peer(url, python)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def put(peer: Peer, folder: Path) -> float:
    """Puts all files of a folder, and gives the seconds."""
    command = [str(peer.python), str(ROOT / "bench" / "load" / "s3_puts.py"), peer.url, BUCKET, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise Failed(done.stderr)
    return float(json.loads(done.stdout)["seconds"])


def _make_bucket(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(Request(f"{url}/{BUCKET}", method="PUT"), timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise Failed("SeaweedFS does not take a bucket")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(one.getsockname()[1]) for one in servers]
