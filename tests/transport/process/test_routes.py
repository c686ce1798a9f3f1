"""The filter that counts calls without an answer is on while there is an alarm, and for a while after it."""

import asyncio
import json
from pathlib import Path

import pytest

from conexiones.settings import Settings
from conexiones.transport.process import routes
from conexiones.transport.process.routes import Routes
from conexiones.transport.process.unanswered import FILTER
from tests.support.waiting import DEADLINE, until


async def test_an_alarm_switches_the_filter_on_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "CALM_SECONDS", 0.2)
    file = Routes(tmp_path, Settings())

    def counting() -> bool:
        (found,) = json.loads((tmp_path / "routes.json").read_text())["resources"]
        return FILTER in found["virtual_hosts"][0]["typed_per_filter_config"]

    file.write(counting=False)
    watching = asyncio.create_task(file.watch())
    await asyncio.sleep(0)
    assert not counting()
    file.alarm()
    await until(counting)
    await until(lambda: not counting())
    watching.cancel()


def test_cors_stays_as_it_is(tmp_path: Path) -> None:
    file = Routes(tmp_path, Settings(cors_origins=("https://app.example",)))
    for on in (False, True):
        file.write(counting=on)
        assert "https://app.example" in (tmp_path / "routes.json").read_text()


async def test_an_end_that_comes_with_an_alarm_is_an_end(tmp_path: Path) -> None:
    file = Routes(tmp_path, Settings())
    watching = asyncio.create_task(file.watch())
    for _ in range(2):
        file.alarm()
        await asyncio.sleep(0)
    file.alarm()
    watching.cancel()
    await asyncio.wait([watching], timeout=DEADLINE)
    assert watching.cancelled()
