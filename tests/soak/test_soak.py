"""The short form of the soak, and its judgement."""

from dataclasses import replace
from pathlib import Path

from conexiones.testing import Server
from tests.soak.minute import Minute
from tests.soak.plot import draw
from tests.soak.soak import SETTINGS, soak
from tests.soak.verdict import MIB, broken
from tests.soak.work import Amounts

LEVEL = Minute(
    piece=1,
    minute=1,
    memory=300 * MIB,
    descriptors=200,
    threads=40,
    disk=500 * MIB,
    content=450 * MIB,
    calls=1000,
    p50={"GetUser": 0.002},
    p95={"GetUser": 0.01},
    errors={},
    faults={},
)


async def test_all_kinds_of_work_go_on_beside_each_other(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", SETTINGS)
    server.start()
    minutes: list[Minute] = []
    with server:
        wrong = await soak(
            server,
            piece=1,
            minutes=2,
            seconds=4.0,
            amounts=Amounts(small=100, large=3, pace=0.7),
            on_minute=minutes.append,
        )
    assert wrong == []
    assert list(broken(minutes)) == []
    assert sum(minute.faults.get("decoder", 0) for minute in minutes) > 0
    assert draw(minutes).count("<polyline") == 9


def test_a_level_server_passes_and_one_that_grows_does_not() -> None:
    level = [replace(LEVEL, minute=n, memory=LEVEL.memory + n % 3 * MIB) for n in range(1, 31)]
    assert list(broken(level)) == []
    growing = [replace(one, memory=one.memory + 2 * one.minute * MIB) for one in level]
    assert [line.split(" grows")[0] for line in broken(growing)] == ["memory"]
    slower = [replace(one, p50={"GetUser": 0.002 + one.minute / 1000}) for one in level]
    assert [line.split(" grows")[0] for line in broken(slower)] == ["p50 of GetUser"]
    hoarding = [replace(one, disk=one.disk + 10 * one.minute * MIB) for one in level]
    assert [line.split(" grows")[0] for line in broken(hoarding)] == ["disk beyond the content"]


def test_an_error_is_told_with_its_minute() -> None:
    odd = replace(LEVEL, minute=3, errors={"GetUser: INTERNAL": 2})
    assert list(broken([odd])) == ["minute 3: 2 × GetUser: INTERNAL"]
