"""Measures many files given to the page at once, against the command line with the same files."""

import json
import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from bench.images import Picture, write
from bench.measures import Wrong, interleave
from bench.peers.server_process import SOURCES, Failed, ServerProcess, ours
from bench.rows import Bench
from conexiones import Client
from tests.support.clients import node

DRIVER = Path(__file__).parents[1] / "load" / "page.mjs"
ROW = "200 files of 300 KB given to the page"
PAGE, PUT = "the page, in Chromium", "conexiones put"
BARE = "the calls alone, in Chromium"
LONGEST = "longest task of the page's thread meanwhile"


def run(bench: Bench) -> None:
    """Seconds until all files are stored, each time on a new server, and the longest task in milliseconds.

    Beside it, a page that shows nothing makes the same calls: what the browser takes in any case.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        bench.results.note("The page is left out: there is no chromium")
        return
    count = bench.size(200, 20)
    contenders = {
        PUT: partial(_put, bench, count),
        PAGE: partial(_page, bench, count, chromium, bare=False),
        BARE: partial(_page, bench, count, chromium, bare=True),
    }
    interleave(bench.results, ROW, contenders, unit="s", warm=True)


def _files(folder: Path, count: int, seed: int) -> list[Path]:
    return [write(Picture(300_000, (seed + 2, n)), folder / f"{n}.bmp") for n in range(count)]


def _put(bench: Bench, count: int, number: int) -> float:
    with bench.folder() as folder, ours(folder / "data") as server:
        (folder / "files").mkdir()
        paths = _files(folder / "files", count, number)
        command = [sys.executable, "-m", "conexiones", "put", *map(str, paths)]
        environ = {**os.environ, "PYTHONPATH": SOURCES, "CONEXIONES_ADDRESS": server.address}
        begin = time.perf_counter()
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=600)
        seconds = time.perf_counter() - begin
        if done.returncode:
            raise Failed(done.stderr)
        _check(server, count)
        return seconds


def _page(bench: Bench, count: int, chromium: str, number: int, *, bare: bool) -> float:
    with bench.folder() as folder, ours(folder / "data") as server:
        (folder / "files").mkdir()
        paths = _files(folder / "files", count, number)
        given = {
            "executable": chromium,
            "url": f"http://{server.address}/",
            "files": [str(path) for path in paths],
            "bare": bare,
        }
        done = subprocess.run(
            [node(), DRIVER],
            input=f"{json.dumps(given)}\n",
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        if done.returncode:
            raise Failed(done.stderr)
        _check(server, count)
        found = json.loads(done.stdout)
        if number >= 0 and not bare:
            bench.results.add(LONGEST, PAGE, found["longest"], unit="ms")
        return float(found["seconds"])


def _check(server: ServerProcess, count: int) -> None:
    with Client(server.address) as client:
        found = sum(1 for _ in client.images())
    if found != count:
        raise Wrong(f"{found} images are stored, and {count} were sent")
