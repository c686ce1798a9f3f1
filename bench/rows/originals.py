"""Measures reading large originals over HTTP."""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.images import Picture, write
from bench.load.curl import curl
from bench.load.h2load import gets
from bench.measures import Wrong, interleave
from bench.peers import http
from bench.peers.file_server import file_server
from bench.peers.server_process import ServerProcess, ours, python
from bench.rows import Bench
from bench.rows.uploads import GIB, MIB
from conexiones.sdk.blocking import Client

MEGABYTES = "originals of 2 MB, HTTP/1.1, 8 connections"
GIBIBYTE = "original of 1 GiB, HTTP/1.1"
PROCESSOR = "{}: processor"
"""The row beside one of these, with the processor time of the server."""

OURS, NGINX, FILE_SERVER = "ours", "nginx", "Envoy's file_server"
PYVOY = "limit: pyvoy, bytes that are in memory"

CONNECTIONS = 8

Load = Callable[[str, int], tuple[int, float]]
"""Asks for an image of so many bytes at a URL, once or several times, and gives the bytes that came and the
seconds. Raises Wrong if some do not come."""


@dataclass(frozen=True, slots=True)
class _Servers:
    ours: ServerProcess
    pyvoy: ServerProcess
    files: dict[str, tuple[str, Path]]  # name → URL and folder

    def places(self, source: Path) -> Iterator[tuple[str, str]]:
        """Puts a file where each server finds it. Gives the names of the servers and the URLs."""
        with Client(self.ours.address) as client:
            yield OURS, f"http://{self.ours.address}/images/{client.upload(source).id}"
        yield PYVOY, f"http://{self.pyvoy.address}/{source.stat().st_size}"
        for name, (url, folder) in self.files.items():
            shutil.copyfile(source, folder / source.name)
            yield name, f"{url}/{source.name}"


def run(bench: Bench) -> None:
    """Bytes per second, beside nginx and Envoy, which have the same bytes in the page cache, and beside
    pyvoy, which has as many in memory."""
    times = bench.size(400, 40)
    rows: list[tuple[str, Picture, Load]] = [
        (MEGABYTES, Picture(2_000_000), partial(_many, times)),
        (GIBIBYTE, Picture(bench.size(GIB, 32 * MIB)), _single),
    ]
    with ExitStack() as stack:
        folder = stack.enter_context(bench.folder())
        servers = _Servers(
            stack.enter_context(ours(folder / "ours")),
            stack.enter_context(python("bench.peers.from_memory", data_dir=folder)),
            {
                NGINX: stack.enter_context(http.nginx(folder / "nginx")),
                FILE_SERVER: stack.enter_context(file_server(folder / "envoy")),
            },
        )
        for row, picture, load in rows:
            source = folder / "image.bmp"
            write(picture, source)
            urls = dict(servers.places(source))
            for name, url in urls.items():
                if name != PYVOY:
                    _check(url, picture, folder / "answer")
            contenders = {
                name: partial(_rate, bench, servers, row, name, load, url, picture.size)
                for name, url in urls.items()
            }
            interleave(bench.results, row, contenders, unit="MB/s", warm=True)


def _rate(
    bench: Bench, servers: _Servers, row: str, name: str, load: Load, url: str, size: int, number: int
) -> float:
    server = {OURS: servers.ours, PYVOY: servers.pyvoy}.get(name)
    before = server.cpu() if server else 0
    came, seconds = load(url, size)
    if server and number >= 0:
        bench.results.add(PROCESSOR.format(row), name, (server.cpu() - before) * GIB / came, unit="s/GiB")
    return came / seconds / 1e6


def _many(times: int, url: str, size: int) -> tuple[int, float]:
    load = gets(url, requests=times, connections=CONNECTIONS, streams=None)
    if load.received != times * size:
        raise Wrong("not every answer is the image")
    return load.received, load.seconds


def _single(url: str, size: int) -> tuple[int, float]:
    came, seconds = curl(url, "-o", "/dev/null", "-w", "%{size_download} %{time_total}").split()
    if int(came) != size:
        raise Wrong("not all bytes came")
    return size, float(seconds)


def _check(url: str, picture: Picture, answer: Path) -> None:
    """Raises Wrong unless the server gives the image."""
    curl(url, "-o", answer)
    with answer.open("rb") as file:
        if hashlib.file_digest(file, "sha256").digest() != picture.digest:
            raise Wrong("what was downloaded is not what was stored")
    answer.unlink()
