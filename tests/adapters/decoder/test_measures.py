"""What is counted of decoders: who is busy, how long work takes by kind and outcome, and what they die of."""

import asyncio
from pathlib import Path

import pytest

from conexiones.errors import NoPreview
from conexiones.metrics import Metrics
from tests.adapters.decoder.workers import Endless, cause_of, pool
from tests.support.figures import figure, figures
from tests.support.processes import own_decoders
from tests.support.waiting import DEADLINE, until

WORK, DEATHS = "conexiones.decoder.work.duration", "conexiones.decoder.deaths"


def deaths(metrics: Metrics) -> dict[str, int]:
    return {cause: int(number) for (_, cause), number in figures(metrics, DEATHS).items() if number}


def gauge(metrics: Metrics, name: str) -> int:
    return int(figure(metrics, f"conexiones.decoder.{name}", "prompt"))


async def test_work_and_waits_are_measured(good: Path, endless: Endless) -> None:
    metrics = Metrics()
    async with pool(metrics=metrics) as decoder:
        assert (gauge(metrics, "busy"), gauge(metrics, "limit"), gauge(metrics, "processes")) == (0, 1, 1)
        running = asyncio.create_task(decoder.preview(endless.path, format="JPEG"))
        await endless.read()
        queued = asyncio.create_task(decoder.preview(good, format="JPEG"))
        await until(lambda: gauge(metrics, "waiting") == 1)
        assert gauge(metrics, "busy") == 1
        assert decoder.pids() == [process.pid for process in own_decoders()]
        endless.close()  # it ends, and was no image
        with pytest.raises(NoPreview):
            await running
        await queued
        await decoder.describe(good, format="JPEG")
    worked = figures(metrics, WORK)
    assert worked["prompt", "preview", "OK"] == worked["prompt", "preview", "CORRUPT"] == 1
    assert worked["prompt", "describe", "OK"] == 1
    assert worked["prompt", "render", "OK"] == 0
    assert figure(metrics, "conexiones.wait.duration", "prompt_decoders") == 1
    assert deaths(metrics) == {}  # the end of the pool is none
    assert gauge(metrics, "processes") == 0


async def test_deaths_are_told_apart(good: Path, endless: Endless, tmp_path: Path) -> None:
    metrics = Metrics()
    async with pool(metrics=metrics) as decoder:
        await decoder.preview(good, format="JPEG")
        (idle,) = own_decoders()
        idle.kill()
        idle.wait(DEADLINE)
        await decoder.preview(good, format="JPEG")
        assert deaths(metrics) == {"IDLE": 1}
        running = asyncio.create_task(cause_of(decoder, endless.path))
        await endless.read()
        own_decoders()[0].kill()
        assert await running == "CRASH"
        assert deaths(metrics) == {"IDLE": 1, "CRASH": 1}
        assert figure(metrics, WORK, "prompt", "preview", "CRASH") == 1
        other = Endless(tmp_path / "other.jpg")
        large = asyncio.create_task(decoder.turn(large=True))
        work = asyncio.create_task((await large).preview(other.path, format="JPEG", side=256))
        await other.read()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await until(lambda: deaths(metrics) == {"IDLE": 1, "CRASH": 1, "STOPPED": 1})
        await until(lambda: figures(metrics, WORK).get(("prompt", "preview", "STOPPED")) == 1)
        other.close()


async def test_one_that_takes_too_long_dies_of_it(endless: Endless) -> None:
    metrics = Metrics()
    async with pool(decode_seconds=0.5, metrics=metrics) as decoder:
        reading = asyncio.create_task(cause_of(decoder, endless.path))
        await endless.opened()
        assert await reading == "SECONDS"
        assert deaths(metrics) == {"SECONDS": 1}
