"""A run: load, a fault while it goes on, more load, and the verdict."""

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.replicas.faults.arena import arena
from tests.replicas.faults.load import Load
from tests.replicas.faults.verdict import check
from tests.replicas.faults.wrong import FAULTS

PROGRESS = 2
"""What each client in Python is told is done, on average, before a fault and after it; half of it in Node."""

WORKERS = 4


@dataclass(frozen=True, slots=True)
class Run:
    """What was seen. Times are in seconds: `away` that of the fault, `back` from its end until something was
    acknowledged. `stored` counts the acknowledged images of all runs in this piece; `failed` what clients
    gave up."""

    seed: int
    fault: str
    wrong: list[str]
    seconds: float
    away: float
    back: float
    stored: int
    events: int
    failed: dict[str, int]

    def as_json(self) -> dict[str, object]:
        return asdict(self)


@asynccontextmanager
async def piece(node: str, workers: int = WORKERS) -> AsyncIterator[Load]:
    """Engines and servers for some runs."""
    with tempfile.TemporaryDirectory(prefix="contents-") as folder:
        async with arena() as where:
            load = Load(where, Path(folder), node, workers)
            async with load.open():
                yield load


async def run(load: Load, seed: int, *, sweep: bool) -> Run:
    """With `sweep`, what earlier runs of the piece have left has to be gone in the end, too."""
    fault = list(FAULTS)[seed % len(FAULTS)]
    chance = random.Random(seed)
    told = load.told
    told.failed.clear()
    told.wrong.clear()
    begun = time.monotonic()
    await load.begin(seed)
    away = back = 0.0
    try:
        await told.progress(PROGRESS * load.workers)
        since = time.monotonic()
        await FAULTS[fault](load.arena, chance)
        again = time.monotonic()
        away = again - since
        await told.progress(1)
        back = time.monotonic() - again
        await told.progress(PROGRESS * load.workers)
    except TimeoutError:
        told.wrong.append("nothing was stored for a minute")
    await load.end()
    try:
        async with asyncio.timeout(180):
            wrong = await check(load, chance, sweep=sweep)
    except TimeoutError:
        wrong = [*told.wrong, "the verdict took more than three minutes"]
    return Run(
        seed=seed,
        fault=fault,
        wrong=wrong,
        seconds=round(time.monotonic() - begun, 2),
        away=round(away, 2),
        back=round(back, 2),
        stored=len(told.stored),
        events=max(map(len, told.heard.values())),
        failed=dict(told.failed),
    )
