"""Measures small images over bidirectional streams: how many are acknowledged in a second, and how soon."""

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

from bench import stored
from bench.images import Picture
from bench.limits import appends
from bench.load.streams import Plan, load
from bench.measures import interleave
from bench.peers.parts import APPENDED
from bench.peers.server_process import ServerProcess, ours, python
from bench.rows import Bench
from bench.rows.uploads import AIO, STORELESS, TUTORIAL

OURS = "ours"
ONE_FILE = "one file per image + fsync"
FDATASYNC = "limit: append + fdatasync"
APPEND_ONLY = "limit: ours with append + fdatasync, no catalog"
PING_PONG = "one stream, 10 KB: p50"
LARGE = "100 KB images, 32 streams"
BUSY = 0.9
"""Share of a core above which the load itself may be what limits the result."""


def small(streams: int) -> str:
    """The name of the row of 10 KB images over this many streams."""
    return f"10 KB images, {streams} streams"


def cost(row: str) -> str:
    """The name of the row with the CPU time that the servers' processes took for an image of `row`. Two cores
    have 2,000,000 µs in a second."""
    return f"{row}: processor"


def run_streams(bench: Bench) -> None:
    """10 KB images per second, by the number of streams."""
    plans = {
        small(streams): Plan(
            size=10_000, streams=streams, images=bench.size(min(6000, 400 * streams), min(640, 60 * streams))
        )
        for streams in bench.size([1, 2, 4, 8, 16, 32, 64], [1, 8, 32])
    }
    _rates(bench, plans, [OURS, STORELESS, APPEND_ONLY, ONE_FILE, AIO, TUTORIAL])


def run_large(bench: Bench) -> None:
    """100 KB images per second."""
    plan = Plan(size=100_000, streams=32, images=bench.size(2000, 320))
    _rates(bench, {LARGE: plan}, [OURS, STORELESS, ONE_FILE])


def _rates(bench: Bench, plans: dict[str, Plan], names: list[str]) -> None:
    """Adds rows of images per second, and at the end checks what each server has stored."""
    with ExitStack() as stack:
        folder = stack.enter_context(bench.folder())
        servers = {
            name: stack.enter_context(_server(name, folder / str(number)))
            for number, name in enumerate(names)
        }
        sent: list[Plan] = []
        for row, plan in plans.items():
            # Every image is a new one. Round -1 does not count.
            turns = {
                number: replace(plan, seed=len(sent) + 2 + number)
                for number in range(-1, bench.results.rounds)
            }
            sent += turns.values()
            costs: dict[str, list[float]] = {name: [] for name in servers}
            contenders = {
                name: partial(_rate, bench, row, name, server, turns, costs[name])
                for name, server in servers.items()
            }
            interleave(bench.results, row, contenders, unit="images/s", warm=True)
            for name, values in costs.items():
                for value in values[1:]:  # the first is of the round that does not count
                    bench.results.add(cost(row), name, value, unit="µs/image")
        for name, server in servers.items():
            server.stop()
            if name != STORELESS:
                stored.compare(
                    _look(name, server.data_dir), chain.from_iterable(plan.digests() for plan in sent)
                )


def _rate(
    bench: Bench,
    row: str,
    name: str,
    server: ServerProcess,
    turns: dict[int, Plan],
    costs: list[float],
    number: int,
) -> float:
    plan = turns[number]
    outcome = load(server, plan, digests=name != TUTORIAL)
    costs.append(outcome.server / plan.images * 1e6)
    busy = outcome.cpu / outcome.seconds
    if busy > BUSY:
        bench.results.note(f"{row}, {name}: the load took {busy:.0%} of a core.")
    return plan.images / outcome.seconds


def _look(name: str, data_dir: Path) -> Counter[bytes]:
    """The SHA-256 of each image in the store. Images that were only appended all have 10 KB."""
    if name == TUTORIAL:
        return stored.files(data_dir)
    if name == APPEND_ONLY:
        return stored.pieces(data_dir / APPENDED, len(Picture(10_000).data))
    return stored.digests(data_dir)


def _server(name: str, folder: Path) -> ServerProcess:
    modules = {
        STORELESS: ["bench.peers.composed", "storeless"],
        APPEND_ONLY: ["bench.peers.composed", "append_only"],
        ONE_FILE: ["bench.peers.composed", "one_file"],
        AIO: ["bench.peers.durable"],
        TUTORIAL: ["bench.peers.tutorial"],
    }
    return python(*modules[name], data_dir=folder) if name in modules else ours(folder)


def run_ping_pong(bench: Bench) -> None:
    """The p50 of one stream that waits for each acknowledgement, beside that of the disk itself."""
    images = bench.size(1000, 100)
    rounds = bench.size(3, 1) * bench.results.rounds
    with ExitStack() as stack:
        folder = stack.enter_context(bench.folder())
        server = stack.enter_context(ours(folder / "ours"))
        without = stack.enter_context(_server(STORELESS, folder / "without"))
        plans = {
            number: Plan(size=10_000, images=images, streams=1, window=1, connections=1, seed=number + 2)
            for number in range(-1, rounds)
        }

        def latency(which: ServerProcess, number: int) -> float:
            return load(which, plans[number]).latency * 1000

        contenders: dict[str, Callable[[int], float]] = {
            OURS: partial(latency, server),
            STORELESS: partial(latency, without),
            FDATASYNC: lambda number: appends(Picture(10_000).data, folder / "appended", count=images) * 1000,
        }
        interleave(bench.results, PING_PONG, contenders, unit="ms", warm=True, rounds=rounds)
        server.stop()
        sent = chain.from_iterable(plan.digests() for plan in plans.values())
        stored.compare(stored.digests(server.data_dir), sent)
