"""How far more machines go is worked out from costs as documented."""

from pathlib import Path

import pytest

from bench.knee import COMMITS, DATABASE, MACHINES, Costs, Line, table
from bench.measures import Results
from bench.record import Record
from bench.report import publish
from bench.rows import servers
from conexiones.adapters.catalog.postgres.group_commit import MOST

COSTS = Costs(
    server=Line(500e-6, 0), database=Line(100e-6, 0), store=Line(100e-6, 10e-6), commits=200_000 / MOST
)
"""A server takes in 4,000 images a second with its two processors, PostgreSQL 10,000 with each of its own,
and there are commits for 200,000."""


def test_a_line_goes_through_the_costs() -> None:
    line = Line.through({1: 100.0, 2: 110.0, 4: 130.0})
    assert line.first == pytest.approx(100)
    assert line.at(8) == pytest.approx(170)


def test_more_servers_never_make_an_image_cheaper() -> None:
    line = Line.through({1: 130.0, 2: 110.0, 4: 100.0})
    assert line.at(1) == line.at(8) == 100


def test_the_least_that_any_part_can_do_is_what_all_can_do() -> None:
    for count, cores, most, by in (
        (1, 2, 4000, MACHINES),
        (8, 2, 20_000, DATABASE),
        (100, 1000, 2e5, COMMITS),
    ):
        rate, limit = COSTS.rate(count, cores)
        assert rate == pytest.approx(most)
        assert limit == by


def test_the_knee_is_where_another_server_brings_nothing_any_more() -> None:
    assert COSTS.knee(cores=2) == 5
    assert COSTS.knee(cores=4) == 10


def test_the_report_says_how_far_more_machines_go(tmp_path: Path) -> None:
    found = Results(quick=False, rounds=1, machine="a machine")
    assert "How far more machines go" not in publish(Record({"servers": found}), tmp_path).read_text()
    for row, what, cost, more in (
        (servers.SERVER, "server", 400, 100),
        (servers.DATABASE, "PostgreSQL", 70, 30),
        (servers.STORE, "S3 store", 80, 20),
    ):
        for count in servers.COUNTS:
            found.add(row, servers.several(count), cost, unit="µs/image")
        found.add(servers.DESCRIBED.format(what), servers.several(1), more, unit="µs/image")
    found.add(servers.SMALL, servers.COMMITS, 200_000 / MOST, unit="images/s")
    page = publish(Record({"servers": found}), tmp_path).read_text()
    assert "| 2 cores | 4,000 | 8,000 | 16,000 | 20,000 (PostgreSQL) |" in page
    assert all(line in page for line in table(COSTS) if "S3" not in line)
    assert "| 2 cores | 5,000 | 10,000 | 20,000 | 29,000 (PostgreSQL) |" in page, "while describing waits"
