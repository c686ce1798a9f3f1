"""The limit of renditions: libvips in as many processes as our decoders, and nothing else: no server, no
sandbox, no store, and nobody who waits.

`python -m bench.peers.bare_vips` is one of the processes. A line on its standard input is a task, as JSON.
The line with which it answers has the number of bytes that came out.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import IO

import pyvips

from bench.peers.server_process import SOURCES
from bench.processes import processor_seconds
from conexiones.adapters.decoder.decoder_worker.render import AVIF_EFFORT

ANY = 10_000_000


@dataclass(frozen=True, slots=True)
class Task:
    """A rendition: of the image at `path`, `width` pixels wide, in a format (JPEG, PNG, WEBP or AVIF)."""

    path: str
    width: int
    format: str
    quality: int

    def made(self) -> bytes:
        """The rendition, with the options of our decoders."""
        image = pyvips.Image.thumbnail(self.path, self.width, height=ANY, size="down")
        data: bytes
        match self.format:
            case "JPEG":
                data = image.jpegsave_buffer(Q=self.quality, optimize_coding=True, keep="none")
            case "PNG":
                data = image.pngsave_buffer(keep="none")
            case "WEBP":
                data = image.webpsave_buffer(Q=self.quality, keep="none")
            case _:
                options = {"compression": "av1", "bitdepth": 8, "effort": AVIF_EFFORT, "keep": "none"}
                data = image.heifsave_buffer(Q=self.quality, **options)
        return data


class BareVips:
    """The processes, each with a task at a time."""

    def __init__(self, processes: list["subprocess.Popen[str]"]) -> None:
        self._processes = processes

    def make(self, tasks: Sequence[Task]) -> None:
        """Makes all renditions. A process that has made one takes the next."""
        left = iter(tasks)  # a list's iterator, which threads may share
        with ThreadPoolExecutor(len(self._processes)) as pool:
            list(pool.map(lambda process: _serve(process, left), self._processes))

    def cpu(self) -> float:
        """CPU seconds that the processes have used so far."""
        return sum(processor_seconds(one.pid) for one in self._processes)


def _serve(process: "subprocess.Popen[str]", left: Iterator[Task]) -> None:
    for task in left:
        _ask(process, task)


def _ask(process: "subprocess.Popen[str]", task: Task) -> int:
    """The bytes of a rendition that a process makes."""
    stdin, stdout = process.stdin, process.stdout
    assert stdin
    assert stdout
    print(json.dumps(asdict(task)), file=stdin, flush=True)
    return int(stdout.readline())


@contextmanager
def bare_vips(count: int) -> Iterator[BareVips]:
    """Runs that many processes."""
    command = [sys.executable, "-m", "bench.peers.bare_vips"]
    environ = {**os.environ, "PYTHONPATH": SOURCES, "VIPS_CONCURRENCY": "1"}
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ)
        for _ in range(count)
    ]
    try:
        yield BareVips(processes)
    finally:
        for process in processes:
            process.communicate()  # it ends when there are no more lines


def main(lines: IO[str]) -> None:
    pyvips.cache_set_max(0)
    for line in lines:
        print(len(Task(**json.loads(line)).made()), flush=True)


if __name__ == "__main__":
    main(sys.stdin)
