"""Peers over HTTP/1.1: nginx, @tus/server and tusd. Each takes a file; their users have to sync and hash
it."""

import hashlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.load import bulk
from bench.load.curl import curl
from bench.peers.server_process import ROOT, START_SECONDS, Failed, ServerProcess

PEERS = ROOT / "bench" / "peers"

_NGINX = """
worker_processes auto;
daemon off;
{user}
pid {folder}/pid;
error_log {folder}/errors;
events {{}}
http {{
    access_log off;
    sendfile on;
    client_body_temp_path {folder}/incoming;
    client_body_buffer_size 1m;
    client_max_body_size 0;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            root {folder}/files;
            dav_methods PUT;
        }}
    }}
}}
"""


def synced_digest(path: Path) -> bytes:
    """Makes a received file durable, and returns its SHA-256."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").digest()
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return digest


@contextmanager
def nginx(folder: Path) -> Iterator[tuple[str, Path]]:
    """Runs the nginx of Debian. Yields its URL and the folder of its files."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise Failed("nginx is missing: apt install nginx-light")
    files = folder / "files"
    files.mkdir(parents=True)
    port = free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, port=port, user=user))
    process = subprocess.Popen([program, "-p", folder, "-c", config, "-e", folder / "errors"])
    try:
        wait_for(port, process)
        yield f"http://127.0.0.1:{port}", files
    finally:
        process.terminate()
        process.wait()


def put(url: str, source: Path) -> None:
    """Sends a file by PUT."""
    bulk.http(f"{url}/{source.name}", "PUT", source)


@contextmanager
def tus_server(folder: Path) -> Iterator[tuple[str, Path]]:
    """Runs @tus/server with its file store. Yields its URL and the folder of its files."""
    folder.mkdir(parents=True)
    with ServerProcess([node(), PEERS / "tus.mjs", folder], data_dir=folder) as program:
        yield f"http://{program.address}/files", folder


@contextmanager
def tusd(folder: Path) -> Iterator[tuple[str, Path]]:
    """Runs tusd. Yields its URL and the folder of its files. Raises Failed if it is not installed."""
    program = shutil.which("tusd", path=f"{ROOT / 'build' / 'bench' / 'bin'}:{os.environ.get('PATH', '')}")
    if program is None:
        raise Failed("it needs Go (apt install golang)")
    folder.mkdir(parents=True)
    port = free_port()
    where = ["-host", "127.0.0.1", "-port", str(port), "-upload-dir", str(folder)]
    process = subprocess.Popen([program, *where], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield f"http://127.0.0.1:{port}/files/", folder
    finally:
        process.terminate()
        process.wait()


def tus_upload(url: str, source: Path) -> str:
    """Uploads by tus 1.0, in one PATCH. Returns the upload's id, which is the name of its file."""
    version = ["-H", "Tus-Resumable: 1.0.0"]
    length = ["-H", f"Upload-Length: {source.stat().st_size}"]
    created = curl(url, *version, *length, "-X", "POST", "-D", "-", "-o", os.devnull)
    location = next(line for line in created.splitlines() if line.lower().startswith("location:"))
    upload = location.partition(":")[2].strip()
    octets = {
        "Tus_Resumable": "1.0.0",
        "Upload_Offset": "0",
        "Content_Type": "application/offset+octet-stream",
    }
    bulk.http(upload, "PATCH", source, **octets)
    return upload.rpartition("/")[2]


def node() -> str:
    """The path of Node.js. Raises Failed if it, or the packages of the peers, are missing."""
    program = shutil.which("node")
    if program is None or not (PEERS / "node_modules").is_dir():
        raise Failed("Node.js or its packages are missing: make bench sets them up")
    return program


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Waits until a program listens that does not print when it does."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.02)
    raise Failed(f"{process.args!r} does not listen")
