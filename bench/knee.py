"""`python -m bench.knee [RESULTS]`: how far more machines go, worked out from what the bench has measured.

The row "servers" runs all servers, PostgreSQL, the S3 store and the load on one machine, so its rates do not
show what several machines would do. It also says what an image of 10 KB costs each of them. From that follows
what each can do at most on a machine of its own, and the least of these is what all can do together:

    servers        machines · cores / (processor time of the servers for an image)
    PostgreSQL     cores / (processor time of PostgreSQL for an image)
    commits        commits per second, one after another, · images in a commit

An image costs something until it is acknowledged, and again when it is described in the background. The first
is a straight line through the costs with one, two and four servers: more servers make smaller commits, and
each hears of the events of all. The commits of all servers wait for each other, since an event's number
comes from one row, which is locked until its commit is on the disk. A server has one commit under way, with
at most MOST images.

What is left out: the network, and the S3 store, which has no part that all requests pass; the table says how
much of its processors each image needs. RESULTS is a file of results [docs/performance/results.json].
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression

from bench.peers.server_process import ROOT
from bench.record import Record
from bench.rows import servers
from conexiones.adapters.catalog.postgres.group_commit import MOST

SERVER_CORES = 2
"""Processors of the machine of each server: it is one process with an event loop, and uses little more."""

DATABASE_CORES = (2, 4, 8, 16)
COUNTS = (1, 2, 4, 8, 16, 32)

MACHINES, DATABASE, COMMITS = "servers", "PostgreSQL", "commits"


@dataclass(frozen=True, slots=True)
class Line:
    """A cost by the number of servers: `first` of one, and `more` for each further one."""

    first: float
    more: float

    def at(self, count: int) -> float:
        return self.first + self.more * (count - 1)

    @classmethod
    def through(cls, costs: dict[int, float]) -> "Line":
        slope, intercept = linear_regression(list(costs), list(costs.values()))
        slope = max(0.0, slope)  # no machine becomes faster by having more of them
        return cls(intercept + slope if slope else min(costs.values()), slope)


@dataclass(frozen=True, slots=True)
class Costs:
    """What an image costs, in seconds of a processor, and how many commits there are in a second, one after
    another."""

    server: Line
    database: Line
    store: Line
    commits: float

    @classmethod
    def of(cls, record: Record, *, described: bool) -> "Costs":
        """With the description, or without. Raises KeyError if the row was not measured."""

        def line(row: str, what: str) -> Line:
            later = record.median(servers.DESCRIBED.format(what), servers.several(1)) if described else 0
            return Line.through(
                {
                    count: (record.median(row, servers.several(count)) + later) / 1e6
                    for count in servers.COUNTS
                }
            )

        return cls(
            server=line(servers.SERVER, "server"),
            database=line(servers.DATABASE, "PostgreSQL"),
            store=line(servers.STORE, "S3 store"),
            commits=record.median(servers.SMALL, servers.COMMITS),
        )

    def limits(self, count: int, cores: int) -> dict[str, float]:
        """The images per second that each part can do at most, with so many servers, and a database on a
        machine with so many processors."""
        return {
            MACHINES: count * SERVER_CORES / self.server.at(count),
            DATABASE: cores / self.database.at(count),
            COMMITS: self.commits * MOST,
        }

    def rate(self, count: int, cores: int) -> tuple[float, str]:
        """The images per second of all, and what keeps them from being more."""
        limits = self.limits(count, cores)
        least = min(limits, key=lambda name: limits[name])
        return limits[least], least

    def knee(self, cores: int) -> int:
        """The number of servers from which on another one brings less than a tenth of what the first
        does."""
        first, _ = self.rate(1, cores)
        count = 1
        while self.rate(count + 1, cores)[0] - self.rate(count, cores)[0] >= first / 10:
            count += 1
        return count


def tables(record: Record) -> Iterator[str]:
    """Both kinds of images per second, in Markdown. Raises KeyError if the row was not measured."""
    kinds = {
        "Until it is acknowledged: how many come in while describing them waits.": False,
        "With its description: how many may come in all the time.": True,
    }
    for what, described in kinds.items():
        yield from (what, "", *table(Costs.of(record, described=described)), "")


def table(costs: Costs) -> Iterator[str]:
    """The lines of two tables in Markdown: what is known, and what follows."""
    yield "| an image of 10 KB takes | one server | for each further one |"
    yield "| --- | --- | --- |"
    for name, line in (
        ("the servers", costs.server),
        ("PostgreSQL", costs.database),
        ("the S3 store", costs.store),
    ):
        yield f"| {name} | {line.first * 1e6:.0f} µs | {line.more * 1e6:+.0f} µs |"
    yield ""
    yield f"| PostgreSQL has | {' | '.join(map(str, COUNTS))} servers | knee |"
    yield "| --- |" + " --- |" * (len(COUNTS) + 1)
    for cores in DATABASE_CORES:
        cells = []
        for count in COUNTS:
            rate, by = costs.rate(count, cores)
            cells.append(f"{_rounded(rate)}{'' if by == MACHINES else f' ({by})'}")
        yield f"| {cores} cores | {' | '.join(cells)} | {costs.knee(cores)} |"


def _rounded(rate: float) -> str:
    return f"{float(f'{rate:.2g}'):,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.knee", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "results", nargs="?", type=Path, default=ROOT / "docs" / "performance" / "results.json"
    )
    record = Record.read(parser.parse_args().results)
    try:
        print("\n".join(tables(record)))
    except KeyError as row:
        parser.error(f"the row servers was not measured: {row}")


if __name__ == "__main__":
    main()
