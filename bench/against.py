"""`python -m bench.against CHECKOUT [ROW …]`: measures this checkout's server and another one's, in turns.

It shows whether a change costs anything. CHECKOUT is a folder such as `git worktree add` makes. The load and
the dependencies are those of this checkout. Each row prints the medians, and the ratio of this one to the
other.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.images import Picture, framed, write
from bench.load import bulk
from bench.load.curl import curl
from bench.load.h2load import h2load
from bench.load.streams import Plan, load
from bench.measures import Results, interleave
from bench.peers.server_process import ROOT, ServerProcess, python
from bench.processes import Meter
from bench.rows import Bench
from bench.rows.source import GET_STREAM_IMAGE, Source, take_out
from bench.rows.uploads import GIB, KIB, MIB
from bench.rows.users import REQUEST
from conexiones.sdk.blocking import Client

THIS, OTHER = "this", "the other"

ROUNDS = {"users": 15, "streams": 11, "large": 11, "ping-pong": 15, "upload": 11, "original": 15, "memory": 5}

Figure = Callable[[int], float]


@dataclass(frozen=True, slots=True)
class Turn:
    """What a row needs to measure one server: the bench, an empty folder, and a function that starts the
    server."""

    bench: Bench
    folder: Path
    serve: Callable[..., ServerProcess]


def _users(turn: Turn, stack: ExitStack) -> Figure:
    """GetUser, 10 × 10, in calls per second."""
    body = turn.folder / "body"
    body.write_bytes(framed(REQUEST))
    server = stack.enter_context(turn.serve(turn.folder / "data"))
    calls = turn.bench.size(20_000, 1000)

    def rate(number: int) -> float:
        path = "/user.UsuarioServicio/GetUser"
        return calls / h2load(server.address, path, body, requests=calls, connections=10, streams=10).seconds

    return rate


def _images(plan: Plan, turn: Turn, stack: ExitStack) -> Figure:
    server = stack.enter_context(turn.serve(turn.folder / "data"))

    def rate(number: int) -> float:
        outcome = load(server, replace(plan, seed=number + 2))
        return outcome.latency * 1000 if plan.streams == 1 else plan.images / outcome.seconds

    return rate


def _upload(turn: Turn, stack: ExitStack) -> Figure:
    """1 GiB in fragments of 64 KiB, in seconds."""
    server = stack.enter_context(turn.serve(turn.folder / "data"))
    source = Source(turn.folder, turn.bench.size(GIB, 32 * MIB))

    def seconds(number: int) -> float:
        source.number(number)
        taken = bulk.grpc(server.address, GET_STREAM_IMAGE, partial(source.frames, 64 * KIB))
        take_out(server, source.picture)
        return taken

    return seconds


def _original(turn: Turn, stack: ExitStack) -> Figure:
    """An original of 1 GiB by HTTP, in seconds."""
    server = stack.enter_context(turn.serve(turn.folder / "data"))
    source = turn.folder / "image.bmp"
    write(Picture(turn.bench.size(GIB, 32 * MIB)), source)
    with Client(server.address) as client:
        url = f"http://{server.address}/images/{client.upload(source).id}"

    def seconds(number: int) -> float:
        return float(curl(url, "-o", os.devnull, "-w", "%{time_total}"))

    return seconds


def _memory(turn: Turn, stack: ExitStack) -> Figure:
    """The peak of the server's memory while 16 uploads of 128 MiB come in, in MiB."""
    source = Source(turn.folder, turn.bench.size(128 * MIB, 4 * MIB))

    def peak(number: int) -> float:
        picture, body = source.number(number), source.body(64 * KIB)
        with turn.serve(turn.folder / f"data-{number}", decode_pixels="1000") as server:
            with Meter(server.pid) as meter:
                h2load(server.address, GET_STREAM_IMAGE, body, requests=16, connections=16)
            take_out(server, picture, images=16)
        return meter.peak / MIB

    return peak


ROWS: dict[str, tuple[str, Callable[[Turn, ExitStack], Figure]]] = {
    "users": ("calls/s", _users),
    "streams": ("images/s", partial(_images, Plan(size=10_000, streams=32, images=6000))),
    "large": ("images/s", partial(_images, Plan(size=100_000, streams=32, images=2000))),
    "ping-pong": (
        "ms",
        partial(_images, Plan(size=10_000, images=1000, streams=1, window=1, connections=1)),
    ),
    "upload": ("s", _upload),
    "original": ("s", _original),
    "memory": ("MiB", _memory),
}


def _ours(checkout: Path, data_dir: Path, **settings: str) -> ServerProcess:
    environ = {f"CONEXIONES_{name.upper()}": value for name, value in settings.items()}
    sources = os.pathsep.join([str(checkout), str(checkout / "src")])
    return python("conexiones", "serve", data_dir=data_dir, PYTHONPATH=sources, **environ)


def measure(checkout: Path, names: list[str], *, quick: bool, root: Path) -> Results:
    """Measures the named rows, each with the two contenders THIS and OTHER."""
    results = Results(quick=quick, rounds=2, machine="")
    for name in names:
        unit, row = ROWS[name]
        with ExitStack() as stack:
            bench = Bench(root, results)
            contenders = dict(_contenders(bench, checkout, row, stack))
            rounds = 2 if quick else ROUNDS[name]
            interleave(results, name, contenders, unit=unit, warm=True, rounds=rounds)
        this, other = results.median(name, THIS), results.median(name, OTHER)
        print(f"{name}: {this:.4g} of {other:.4g} {unit}, {this / other:.3f}", flush=True)
    return results


def _contenders(
    bench: Bench, checkout: Path, row: Callable[[Turn, ExitStack], Figure], stack: ExitStack
) -> Iterator[tuple[str, Figure]]:
    for name, tree in ((THIS, ROOT), (OTHER, checkout.resolve())):
        turn = Turn(bench, stack.enter_context(bench.folder()), partial(_ours, tree))
        yield name, row(turn, stack)


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.against", description=__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument(
        "rows", nargs="*", metavar="ROW", help=f"one of {', '.join(ROWS)}; all if none is named"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small work and two rounds, to see that it works"
    )
    options = parser.parse_args()
    unknown = set(options.rows) - ROWS.keys()
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    folder = Path(os.environ.get("BENCH_DIR") or ROOT / "build" / "bench")
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="against-", dir=folder) as root:
        measure(options.checkout, options.rows or list(ROWS), quick=options.quick, root=Path(root))


if __name__ == "__main__":
    main()
