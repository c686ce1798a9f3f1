"""What the operating system says of the server."""

import asyncio
import os
from pathlib import Path

import pytest

from conexiones.adapters.system import gauges
from conexiones.adapters.system.gauges import SystemGauges
from conexiones.metrics import Metrics
from tests.support.figures import figure, figures
from tests.support.waiting import until


async def test_the_disk_and_the_processes_are_looked_at(tmp_path: Path) -> None:
    metrics = Metrics()
    (tmp_path / "ballast").write_bytes(bytes(1000))
    system = SystemGauges(
        tmp_path,
        sizes=lambda: {"catalog": 7},
        processes=lambda: {"server": [os.getpid()], "writer": [], "decoder": [2**22 + 1]},  # is none
        reserve=tmp_path / "ballast",
        metrics=metrics,
    )
    assert figures(metrics, "conexiones.storage.free") == {}  # nobody has looked yet
    looking = asyncio.create_task(system.run())
    await until(lambda: figures(metrics, "conexiones.storage.free"))
    looking.cancel()
    assert 0 < figure(metrics, "conexiones.storage.free") <= figure(metrics, "conexiones.storage.capacity")
    assert figure(metrics, "conexiones.storage.reserve") == 1000
    assert figures(metrics, "conexiones.storage.size") == {("catalog",): 7}
    for name in ("process.memory.usage", "conexiones.process.descriptors", "conexiones.process.threads"):
        assert figures(metrics, name).keys() == {("server",)}
        assert figure(metrics, name, "server") > 0
    assert figures(metrics, "process.cpu.time").keys() == {("server", "user"), ("server", "system")}
    assert figure(metrics, "process.cpu.time", "server", "user") > 0


@pytest.mark.parametrize(("limit", "told"), [(0, {}), (10, {(): 7})])
async def test_a_file_system_may_have_no_limit_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, told: dict[tuple[str, ...], float]
) -> None:
    class Found:
        f_bavail = f_frsize = f_blocks = 1
        f_files = limit
        f_favail = 7 if limit else 0

    metrics = Metrics()
    monkeypatch.setattr(os, "statvfs", lambda _: Found())
    system = SystemGauges(tmp_path, sizes=dict, processes=dict, metrics=metrics)
    looking = asyncio.create_task(system.run())
    await until(lambda: figures(metrics, "conexiones.storage.free"))
    looking.cancel()
    assert figures(metrics, "conexiones.storage.free_files") == told


async def test_a_folder_that_is_gone_has_no_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(gauges, "LOOK_SECONDS", 0.0)
    metrics, looks = Metrics(), []
    folder = tmp_path / "data"
    folder.mkdir()

    def sizes() -> dict[str, int]:
        looks.append(1)
        return {}

    system = SystemGauges(folder, sizes=sizes, processes=dict, metrics=metrics)
    looking = asyncio.create_task(system.run())
    await until(lambda: len(looks) > 1)
    folder.rmdir()
    await until(lambda: not figures(metrics, "conexiones.storage.free"))
    folder.mkdir()
    await until(lambda: figures(metrics, "conexiones.storage.free"))
    looking.cancel()
    assert len(caplog.records) == 1  # and not one for each look
