"""Three servers, their clients, and faults in turn: nothing acknowledged is lost, and nothing is left."""

import asyncio

import pytest

from tests.replicas.faults.runs import piece, run
from tests.support.lengths import THOROUGH

RUNS = range(20)
"""Each fault once, but for the last one, which is much like another."""

FEW = [0, 4, 11, 14, 19]
"""A server is killed, the database stands still, what became of commits and of PUTs is unknown, all is
killed."""
OTHERS = [seed for seed in RUNS if seed not in FEW]

WORKERS = 2
"""As much load as three servers need for something to be under way whenever something fails."""

SWEEP = 7
"""One of so many seeds, and the last run, ends with a sweep."""


@pytest.mark.long
@pytest.mark.parametrize("seeds", [FEW, pytest.param(OTHERS, marks=THOROUGH)], ids=["few", "others"])
def test_what_clients_are_told_is_so_whatever_fails(node: str, seeds: list[int]) -> None:
    asyncio.run(_runs(node, seeds))


async def _runs(node: str, seeds: list[int]) -> None:
    async with piece(node, WORKERS) as load:
        for seed in seeds:
            done = await run(load, seed, sweep=seed % SWEEP == SWEEP - 1 or seed == seeds[-1])
            print(done)
            assert not done.wrong, f"seed {seed}, {done.fault}: {done.wrong}"
