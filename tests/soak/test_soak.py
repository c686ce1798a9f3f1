"""The short form of the soak, and its judgement."""

from dataclasses import replace
from pathlib import Path

from conexiones.testing import Server
from tests.soak.minute import Minute
from tests.soak.plot import draw
from tests.soak.soak import SETTINGS, soak
from tests.soak.verdict import MIB, WRITER_ENDED, broken, errors_of
from tests.soak.work import Amounts
from tests.support.kept import DECODE_SECONDS

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
    others=0.02,
)


async def test_all_kinds_of_work_go_on_beside_each_other(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", {**SETTINGS, "decode_seconds": DECODE_SECONDS})
    server.start()
    minutes: list[Minute] = []
    with server:
        wrong = await soak(
            server,
            piece=1,
            minutes=2,
            seconds=4.0,
            amounts=Amounts(small=100, large=3, pace=0.7),
            writer_minutes=2,
            on_minute=minutes.append,
        )
    assert wrong == []
    assert list(broken(minutes)) == []
    assert sum(minute.faults.get("decoder", 0) for minute in minutes) > 0
    assert sum(minute.faults.get("writer", 0) for minute in minutes) == 1
    assert list(errors_of(server.log, killed=1)) == []
    assert draw(minutes).count("<polyline") == 10


def test_a_level_server_passes_and_one_that_grows_does_not() -> None:
    level = [replace(LEVEL, minute=n, memory=LEVEL.memory + n % 3 * MIB) for n in range(1, 31)]
    assert list(broken(level)) == []
    growing = [replace(one, memory=one.memory + 2 * one.minute * MIB) for one in level]
    assert [line.split(" grows")[0] for line in broken(growing)] == ["memory"]
    slower = [replace(one, p50={"GetUser": 0.002 + one.minute / 1000}) for one in level]
    assert [line.split(" grows")[0] for line in broken(slower)] == ["p50 of GetUser"]
    beside_others = [replace(one, others=0.5) for one in slower]
    assert list(broken(beside_others)) == []
    assert [line.split(" grows")[0] for line in broken([*beside_others, *slower])] == ["p50 of GetUser"]
    hoarding = [replace(one, disk=one.disk + 10 * one.minute * MIB) for one in level]
    assert [line.split(" grows")[0] for line in broken(hoarding)] == ["disk beyond the content"]


def test_an_error_is_told_with_its_minute() -> None:
    odd = replace(LEVEL, minute=3, errors={"GetUser: INTERNAL": 2})
    assert list(broken([odd])) == ["minute 3: 2 × GetUser: INTERNAL"]


def test_calls_that_are_not_repeated_may_fail_in_a_minute_without_a_writer() -> None:
    refused = replace(LEVEL, errors={"ProcessImage: STORAGE_UNAVAILABLE": 1})
    assert list(broken([replace(refused, faults={"writer": 1})])) == []
    assert list(broken([refused])) == ["minute 1: 1 × ProcessImage: STORAGE_UNAVAILABLE"]
    repeated = replace(LEVEL, faults={"writer": 1}, errors={"GetUser: STORAGE_UNAVAILABLE": 1})
    assert list(broken([repeated])) == ["minute 1: 1 × GetUser: STORAGE_UNAVAILABLE"]


def test_errors_in_the_log_are_told_unless_a_killed_writer_explains_them() -> None:
    ended = f"2026-01-31 12:00:00,000 ERROR conexiones.adapters.writer.client: {WRITER_ENDED}"
    refused = (
        "2026-01-31 12:00:0%d,500 ERROR conexiones.rpc: user/GetUser: STORAGE_UNAVAILABLE [request_id=1]"
    )
    later = refused.replace("12:00:0%d", "12:00:11")
    traceback = "Traceback (most recent call last):"
    assert list(errors_of("\n".join([ended, refused % 0, traceback, refused % 9]), killed=1)) == []
    assert list(errors_of("\n".join([ended, later]), killed=1)) == [f"the log: {later}"]
    assert list(errors_of(ended, killed=0)) == [f"the log: {ended}"]
    assert list(errors_of(refused % 0, killed=1)) == [f"the log: {refused % 0}"]
