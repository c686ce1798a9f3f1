"""Measures backup and verification of a data folder beside what copies and hashes its files."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.load.streams import Plan, load
from bench.measures import Wrong, interleave
from bench.peers.server_process import SOURCES, ours
from bench.rows import Bench

FIRST = "backup of 10 KB images, the first"
AGAIN = "backup of 10 KB images, nothing new"
VERIFY = "verification of 10 KB images"
BACKUP = "conexiones backup"
COPY = "limit: cp -r and sync, nothing read back"
CHECK = "conexiones verify"
HASH = "limit: sha256sum of the files"


def run(bench: Bench) -> None:
    """Images per second, of a server that does not run."""
    count = bench.size(50_000, 2_000)
    with ExitStack() as stack:
        folder = stack.enter_context(bench.folder())
        with ours(folder / "data") as server:
            load(server, Plan(size=10_000, images=count, streams=32, seed=1))
            server.stop()
        data, dest = folder / "data", folder / "dest"

        def first(command: Callable[[], None], _: int) -> float:
            shutil.rmtree(dest, ignore_errors=True)
            return _rate(command, count)

        def again(command: Callable[[], None], _: int) -> float:
            return _rate(command, count)

        back_up = partial(_conexiones, "backup", dest, "--keep", 1, "--data-dir", data)
        copy = partial(_run, f"cp -r '{data}' '{dest}' && sync")
        interleave(
            bench.results,
            FIRST,
            {BACKUP: partial(first, back_up), COPY: partial(first, copy)},
            unit="images/s",
        )
        shutil.rmtree(dest)
        interleave(bench.results, AGAIN, {BACKUP: partial(again, back_up)}, unit="images/s", warm=True)
        verify = partial(_conexiones, "verify", "--data-dir", data)
        hashed = partial(_run, f"sha256sum '{data}'/segments/0* > /dev/null")
        contenders = {CHECK: partial(again, verify), HASH: partial(again, hashed)}
        interleave(bench.results, VERIFY, contenders, unit="images/s")


def _rate(command: Callable[[], None], count: int) -> float:
    begin = time.perf_counter()
    command()
    return count / (time.perf_counter() - begin)


def _conexiones(*arguments: str | int | Path) -> None:
    command = [sys.executable, "-m", "conexiones", *map(str, arguments)]
    environ = {**os.environ, "PYTHONPATH": SOURCES}
    if subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, check=False).returncode:
        raise Wrong(f"conexiones {arguments[0]} has failed")


def _run(command: str) -> None:
    subprocess.run(["/bin/sh", "-c", command], check=True)
