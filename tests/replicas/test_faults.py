"""Three servers, their clients, and faults in turn: nothing acknowledged is lost, and nothing is left."""

import asyncio
import os

from tests.replicas.faults.runs import piece, run
from tests.replicas.faults.wrong import FAULTS

RUNS = int(os.environ.get("CONEXIONES_REPLICA_RUNS", "20"))
"""As many as there are faults, less one of those that kill."""


def test_what_clients_are_told_is_so_whatever_fails(node: str) -> None:
    asyncio.run(_runs(node, range(RUNS)))


async def _runs(node: str, seeds: range) -> None:
    async with piece(node) as load:
        for seed in seeds:
            done = await run(load, seed)
            print(done)
            assert not done.wrong, f"seed {seed}, {done.fault}: {done.wrong}"
    assert len(FAULTS) <= RUNS + 1
