"""Three servers, their clients, and faults in turn: nothing acknowledged is lost, and nothing is left."""

import asyncio
import os

from tests.replicas.faults.runs import piece, run

RUNS = int(os.environ.get("CONEXIONES_REPLICA_RUNS", "20"))
"""Each fault once, but for the last one, which is much like another."""


def test_what_clients_are_told_is_so_whatever_fails(node: str) -> None:
    asyncio.run(_runs(node, range(RUNS)))


async def _runs(node: str, seeds: range) -> None:
    async with piece(node) as load:
        for seed in seeds:
            done = await run(load, seed)
            print(done)
            assert not done.wrong, f"seed {seed}, {done.fault}: {done.wrong}"
