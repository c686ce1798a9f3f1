"""Measures many small images: a folder by the command line and by both SDKs, and one image after the other
from Python, beside the stream of the tutorial and an S3 client."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import stored
from bench.images import Picture, write
from bench.measures import Wrong, interleave
from bench.peers import s3
from bench.peers.server_process import SOURCES, Failed, ServerProcess, ours
from bench.rows import SMALL_FILES, Bench
from bench.rows.transfers import PROGRAMS, say

ROW = "a folder of 10 KB images"
ONE = "one 10 KB image by Python: p50"
PUT = "conexiones put"
MANY = "Python SDK, upload_many"
NODE = "Node SDK, uploadMany"
STREAM = "ImageStreamReply, one Python process"
GRPC_JS = "limit: ImageStreamReply, bare grpc-js"
S3 = "obstore's puts to a local S3 server, no fsync"
UPLOAD = "Python SDK, upload"
PING_PONG = "ImageStreamReply, ping-pong"


def run(bench: Bench) -> None:
    """Images of one folder per second, until all are stored; and the p50 of one image."""
    count = bench.size(10_000, 1_000)
    with ExitStack() as stack:
        folder = stack.enter_context(bench.folder())
        server = stack.enter_context(ours(folder / "ours"))
        made = _Folders(folder / "images", count)
        sent: list[Picture] = []
        contenders: dict[str, Callable[[int], float]] = {
            PUT: partial(_put, server, made, sent),
            MANY: partial(_by_sdk, server, made, sent, "many"),
            STREAM: partial(_by_sdk, server, made, sent, "stream"),
        }
        if node := _node(bench):
            contenders[NODE] = partial(_by_node, server, made, sent, [node, str(MANY_JS)])
            contenders[GRPC_JS] = partial(_by_node, server, made, sent, [node, str(STREAMS_JS)])
        try:
            peer = stack.enter_context(s3.server(folder / "s3"))
            contenders[S3] = partial(_by_s3, peer, made)
        except Failed as missing:
            bench.results.note(str(missing))
        with bench.memory(server, SMALL_FILES):
            interleave(bench.results, ROW, contenders, unit="images/s")

        single = _Folders(folder / "single", bench.size(300, 50))
        latencies: dict[str, Callable[[int], float]] = {
            UPLOAD: partial(_by_sdk, server, single, sent, "upload"),
            PING_PONG: partial(_by_sdk, server, single, sent, "ping-pong"),
        }
        interleave(bench.results, ONE, latencies, unit="ms", warm=True)
        server.stop()
        stored.compare(stored.digests(server.data_dir), [picture.digest for picture in sent])


MANY_JS = PROGRAMS / "many.js"
STREAMS_JS = PROGRAMS / "streams.js"


def _node(bench: Bench) -> str | None:
    node = shutil.which("node")
    if node and MANY_JS.is_file() and STREAMS_JS.is_file():
        return node
    bench.results.note("uploadMany of the Node SDK is left out: make bench sets up what it needs")
    return None


class _Folders:
    """Folders of images, each of which is another one, made before they are sent."""

    def __init__(self, root: Path, count: int) -> None:
        self.count = count
        self._root = root
        self._number = 0

    def next(self, sent: list[Picture]) -> Path:
        """A folder of new images, which are added to `sent`. The one before is removed."""
        shutil.rmtree(self._root / str(self._number), ignore_errors=True)
        self._number += 1
        folder = self._root / str(self._number)
        folder.mkdir(parents=True)
        for number in range(self.count):
            picture = Picture(10_000, seed=(self._number + (self.count << 8), number))
            write(picture, folder / f"{number:05}.bmp")
            sent.append(picture)
        os.sync()
        return folder


def _put(server: ServerProcess, made: _Folders, sent: list[Picture], _: int) -> float:
    """Images per second, of the whole process, as users wait for it."""
    folder = made.next(sent)
    with server.turn():
        begin = time.perf_counter()
        _run(server, ["conexiones", "put", "--quiet", str(folder)])
        return made.count / (time.perf_counter() - begin)


def _by_sdk(server: ServerProcess, made: _Folders, sent: list[Picture], how: str, _: int) -> float:
    """Images per second, without the start of Python; or the p50 in milliseconds."""
    folder = made.next(sent)
    with server.turn():
        seconds = float(json.loads(_run(server, ["bench.load.folder", how, str(folder)]))["seconds"])
    return seconds * 1000 if how in {"upload", "ping-pong"} else made.count / seconds


def _by_node(server: ServerProcess, made: _Folders, sent: list[Picture], command: list[str], _: int) -> float:
    """Images per second, without the start of Node.js."""
    folder = made.next(sent)
    with server.turn():
        said = say(server, [*command, str(folder)])
    if said["stored"] != made.count:
        raise Wrong(f"{said['stored']} of {made.count} images were stored")
    return made.count / float(said["seconds"])


def _by_s3(peer: s3.Peer, made: _Folders, _: int) -> float:
    return made.count / s3.put(peer, made.next([]))


def _run(server: ServerProcess, command: list[str]) -> str:
    """Runs one of our modules, and returns the last line of its output."""
    environ = {**os.environ, "PYTHONPATH": SOURCES, "CONEXIONES_ADDRESS": server.address}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if done.returncode:
        raise Failed(done.stderr)
    return done.stdout.rpartition("\n")[0].rpartition("\n")[2]
