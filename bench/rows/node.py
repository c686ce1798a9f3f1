"""Measures many small images sent by the Node SDK, against a bare stream from one Python process."""

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from bench.images import Picture, write
from bench.load.streams import Plan, load
from bench.measures import Wrong, interleave
from bench.peers.server_process import ServerProcess, ours
from bench.rows import Bench
from bench.rows.transfers import PROGRAMS, say

ROW = "10,000 images of 10 KB, from files"
STREAMS = "ImageStreamReply, one Python process"
NODE = "Node SDK, uploadMany"

MANY = PROGRAMS / "many.js"


def run(bench: Bench) -> None:
    """Images per second. The peer has its images in memory; the SDK reads a file for each."""
    node = shutil.which("node")
    if not node or not MANY.is_file():
        bench.results.note("uploadMany of the Node SDK is left out: make bench sets up what it needs")
        return
    count = bench.size(10_000, 2_000)  # Node.js compiles what is called often
    with ExitStack() as stack:
        folder = stack.enter_context(bench.folder())
        server = stack.enter_context(ours(folder / "ours"))

        def streams(number: int) -> float:
            plan = Plan(size=10_000, images=count, streams=4, seed=number + 2)
            return count / load(server, plan).seconds

        many = partial(_many, bench, server, node, count)
        contenders: dict[str, Callable[[int], float]] = {STREAMS: streams, NODE: many}
        interleave(bench.results, ROW, contenders, unit="images/s", warm=True)


def _many(bench: Bench, server: ServerProcess, node: str, count: int, number: int) -> float:
    with bench.folder() as folder:
        for each in range(count):
            write(Picture(10_000, (900_000 + number, each)), folder / f"{each}.bmp")
        with server.turn():
            said = say(server, [node, str(MANY), str(folder)])
    if said["stored"] != count:
        raise Wrong(f"{said['stored']} of {count} images were stored")
    return count / float(said["seconds"])
