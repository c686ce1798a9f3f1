"""Measures large uploads against the limit of the disk and other servers, and throughput and time by size."""

import hashlib
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench import stored
from bench.limits import direct_write
from bench.load import bulk
from bench.load.h2load import h2load
from bench.measures import Wrong, interleave
from bench.peers import http
from bench.peers.server_process import Failed, ServerProcess, ours, python
from bench.processes import Meter
from bench.rows import Bench
from bench.rows.source import GET_STREAM_IMAGE, Source, take_out

GIB = 1 << 30
MIB = 1 << 20
KIB = 1 << 10

ROW = "1 GiB upload"
LIMIT = "limit: O_DIRECT, hash beside it, fsync"
BY_H2LOAD = "ours, 64 KiB, sent by h2load"
NGINX = "nginx PUT + sync + sha256"
TUS = "@tus/server + sync + sha256"
TUSD = "tusd + sync + sha256"
AIO = "grpc.aio + uvloop, our store"
TUTORIAL = "tutorial's server"
STORELESS = "ours without a store"

BY_FRAGMENT = "throughput by fragment"
BY_SIZE = "time by size"
MEMORY = "memory"


def ours_in(fragment: int) -> str:
    """The contender's name of our server with fragments of that size."""
    return f"ours, {label(fragment)}"


def label(size: int) -> str:
    return f"{size // MIB} MiB" if size >= MIB else f"{size // KIB} KiB"


def run_gibibyte(bench: Bench) -> None:
    """The row of 1 GiB: the wall time from the first byte until all bytes are durable and their hash is
    known."""
    with ExitStack() as stack:
        folder = stack.enter_context(bench.folder())
        source = Source(folder, bench.size(GIB, 32 * MIB))
        server = stack.enter_context(ours(folder / "ours"))
        aio = stack.enter_context(python("bench.peers.durable", data_dir=folder / "aio"))
        contenders: dict[str, Callable[[int], float]] = {LIMIT: partial(_limit, source)}
        for fragment in (64 * KIB, MIB, 4 * KIB):
            contenders[ours_in(fragment)] = partial(_ours, source, server, fragment)
        contenders[BY_H2LOAD] = partial(_ours, source, server, 64 * KIB, send=_by_h2load)
        contenders[NGINX] = partial(_nginx, source, *stack.enter_context(http.nginx(folder / "nginx")))
        for name, peer in ((TUS, http.tus_server), (TUSD, http.tusd)):
            try:
                contenders[name] = partial(_tus, source, *stack.enter_context(peer(folder / name.split()[0])))
            except Failed as missing:
                bench.results.note(f"{name} is left out: {missing}")
        contenders[AIO] = partial(_stream, source, aio, 64 * KIB)
        interleave(bench.results, ROW, contenders, unit="s")
        aio.stop()
        numbers = range(bench.results.rounds)
        stored.compare(stored.digests(aio.data_dir), (source.number(number).digest for number in numbers))


def _limit(source: Source, number: int) -> float:
    picture = source.number(number)
    path = source.path.parent / "limit"
    seconds, digest = direct_write(picture.pieces(), path)
    with path.open("rb") as file:
        _same(hashlib.file_digest(file, "sha256").digest(), digest, picture.digest)
    path.unlink()
    return seconds


def _stream(source: Source, server: ServerProcess, fragment: int, number: int) -> float:
    source.number(number)
    return bulk.grpc(server.address, GET_STREAM_IMAGE, partial(source.frames, fragment))


def _by_h2load(source: Source, server: ServerProcess, fragment: int, number: int) -> float:
    source.number(number)
    return h2load(server.address, GET_STREAM_IMAGE, source.body(fragment)).seconds


def _ours(
    source: Source,
    server: ServerProcess,
    fragment: int,
    number: int,
    *,
    send: Callable[[Source, ServerProcess, int, int], float] = _stream,
) -> float:
    seconds = send(source, server, fragment, number)
    take_out(server, source.picture)
    return seconds


def _nginx(source: Source, url: str, files: Path, number: int) -> float:
    picture = source.number(number)
    path = source.path
    begin = time.perf_counter()
    http.put(url, path)
    digest = http.synced_digest(files / path.name)
    seconds = time.perf_counter() - begin
    _same(digest, picture.digest)
    (files / path.name).unlink()
    return seconds


def _tus(source: Source, url: str, files: Path, number: int) -> float:
    picture = source.number(number)
    path = source.path
    begin = time.perf_counter()
    name = http.tus_upload(url, path)
    digest = http.synced_digest(files / name)
    seconds = time.perf_counter() - begin
    _same(digest, picture.digest)
    (files / name).unlink()
    return seconds


def _same(*digests: bytes) -> None:
    if len(set(digests)) != 1:
        raise Wrong("the stored bytes are not those that were sent")


def run_fragments(bench: Bench) -> None:
    """Throughput by the size of the fragments."""
    every = [4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB]
    with ExitStack() as stack:
        folder = stack.enter_context(bench.folder())
        source = Source(folder, bench.size(256 * MIB, 8 * MIB))
        server = stack.enter_context(ours(folder / "ours"))
        storeless = python("bench.peers.composed", "storeless", data_dir=folder / "storeless")
        without = stack.enter_context(storeless)
        aio = stack.enter_context(python("bench.peers.durable", data_dir=folder / "aio"))
        fragments = bench.size(every, every[::2])
        for fragment in fragments:
            seconds: dict[str, Callable[[int], float]] = {
                "ours": partial(_ours, source, server, fragment),
                STORELESS: partial(_stream, source, without, fragment),
                AIO: partial(_stream, source, aio, fragment),
                LIMIT: partial(_limit, source),
            }
            rates = {name: partial(_rate, source, run) for name, run in seconds.items()}
            interleave(bench.results, f"{BY_FRAGMENT}, {label(fragment)}", rates, unit="MB/s")
            source.drop(fragment)
        aio.stop()
        sent = [source.number(number).digest for number in range(bench.results.rounds)] * len(fragments)
        stored.compare(stored.digests(aio.data_dir), sent)


def _rate(source: Source, run: Callable[[int], float], number: int) -> float:
    return source.picture.size / run(number) / 1e6


def run_sizes(bench: Bench) -> None:
    """Time by the size of the image, in fragments of 64 KiB."""
    with ExitStack() as stack:
        folder = stack.enter_context(bench.folder())
        server = stack.enter_context(ours(folder / "ours"))
        tutorial = stack.enter_context(python("bench.peers.tutorial", data_dir=folder / "tutorial"))
        sent: list[bytes] = []
        for about in bench.size(
            [MIB, 2 * MIB, 4 * MIB, 8 * MIB, 16 * MIB, 32 * MIB], [MIB, 2 * MIB, 4 * MIB]
        ):
            with bench.folder() as bodies:
                source = Source(bodies, about)
                contenders: dict[str, Callable[[int], float]] = {
                    "ours": partial(_ours, source, server, 64 * KIB),
                    TUTORIAL: partial(_stream, source, tutorial, 64 * KIB),
                }
                interleave(bench.results, f"{BY_SIZE}, {label(about)}", contenders, unit="s", warm=True)
                sent += [source.number(number).digest for number in range(-1, bench.results.rounds)]
        stored.compare(stored.files(tutorial.data_dir), sent)


def run_memory(bench: Bench) -> None:
    """Peak memory of the server during concurrent uploads, of a fresh server each time.

    The server is configured not to decode the images. Decoding would begin during the last uploads, in
    processes that have a budget of their own.
    """
    bench.results.note("Nothing is decoded beside the uploads: that has a budget of its own (decode_memory).")
    sizes = {1: GIB, 4: 256 * MIB, 16: 128 * MIB, 64: 64 * MIB}

    def peak(uploads: int, number: int) -> float:
        with bench.folder() as folder:
            source = Source(folder, bench.size(sizes[uploads], sizes[uploads] // 32))
            picture = source.number(number)
            body = source.body(64 * KIB)
            with ours(folder / "ours", decode_pixels="1000") as server:
                with Meter(server.pid) as meter:
                    h2load(server.address, GET_STREAM_IMAGE, body, requests=uploads, connections=uploads)
                take_out(server, picture, images=uploads)
            return meter.peak / MIB

    contenders = {f"{uploads} uploads": partial(peak, uploads) for uploads in sizes}
    interleave(bench.results, MEMORY, contenders, unit="MiB")
