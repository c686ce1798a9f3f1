"""Measures how soon those who watch hear of an image."""

from contextlib import ExitStack

from bench.load.watchers import load
from bench.peers.server_process import ServerProcess, ours
from bench.rows import WATCHERS, Bench

OURS = "ours"
MEDIAN, P95, BUSY = "median", "p95", "processor"
UNITS = {MEDIAN: "ms", P95: "ms", BUSY: "% of a core"}


def shape(watchers: int, rate: int) -> str:
    """The work, in words."""
    return f"{watchers} watcher{'s' if watchers > 1 else ''}, {rate} images per second"


def row(watchers: int, rate: int, what: str) -> str:
    """The name of the row with the median or the p95 of the time to the event, or the processor time."""
    figure = what if what == BUSY else f"acknowledgement to event, {what}"
    return f"{shape(watchers, rate)}: {figure}"


ONE, MANY = (1, 1000), (500, 50)


def run(bench: Bench) -> None:
    """The time from the acknowledgement of an image to its event, of all events of all watchers; and how busy
    the server is meanwhile, storing included."""
    with ExitStack() as stack:
        folder = stack.enter_context(bench.folder())
        server = stack.enter_context(ours(folder / "ours"))
        with bench.memory(server, WATCHERS):
            for _ in range(bench.results.rounds):
                for work in (ONE, bench.size(MANY, (50, 50))):
                    _turn(bench, server, *work)


def _turn(bench: Bench, server: ServerProcess, watchers: int, rate: int) -> None:
    seconds = bench.size(5, 1)
    found = load(server, watchers=watchers, rate=rate, images=rate * seconds)
    if found["rate"] < 0.9 * rate:
        bench.results.note(f"{shape(watchers, rate)}: only {found['rate']:.0f} images/s were stored.")
    figures = {
        MEDIAN: found["median"] * 1000,
        P95: found["p95"] * 1000,
        BUSY: found["server"] / seconds * 100,
    }
    for what, value in figures.items():
        bench.results.add(row(watchers, rate, what), OURS, value, unit=UNITS[what])
