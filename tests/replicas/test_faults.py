"""Three servers, their clients, and faults in turn: nothing acknowledged is lost, and nothing is left."""

import asyncio
import os

import pytest

from tests.replicas.faults.runs import piece, run

RUNS = int(os.environ.get("CONEXIONES_REPLICA_RUNS", "20"))
"""Each fault once, but for the last one, which is much like another."""

WORKERS = 2
"""As much load as three servers need for something to be under way whenever something fails."""

SWEEP = 7
"""One of so many runs, and the last one, ends with a sweep: so it is three times."""


@pytest.mark.long
def test_what_clients_are_told_is_so_whatever_fails(node: str) -> None:
    asyncio.run(_runs(node, range(RUNS)))


async def _runs(node: str, seeds: range) -> None:
    async with piece(node, WORKERS) as load:
        for seed in seeds:
            done = await run(load, seed, sweep=seed % SWEEP == SWEEP - 1 or seed == seeds[-1])
            print(done)
            assert not done.wrong, f"seed {seed}, {done.fault}: {done.wrong}"
