"""Clients in processes that fork, in other event loops, and pickled."""

import asyncio
import os
import subprocess
import sys
import threading

import pytest

from conexiones import AsyncClient
from conexiones.testing import Server
from tests.support.paths import ROOT

CASES = (
    "before_any_call",
    "after_calls",
    "after_failures",
    "after_silence",
    "after_deadlines",
    "cancelled_below",
    "beside_grpc",
    "after_close",
    "workers",
    "in_a_call",
    "with_a_generator",
    "asynchronous",
    "methods",
    "pickled",
    "subprocesses",
)


@pytest.mark.parametrize("case", CASES)
def test_clients_and_forks(shared: Server, case: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.sdk.forking", case, shared.address],
        cwd=ROOT,
        env={**os.environ, "GRPC_VERBOSITY": "NONE"},  # gRPC logs that it skips its own handlers
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


async def test_a_client_belongs_to_one_loop_at_a_time(shared: Server) -> None:
    async with AsyncClient(shared.address) as client:
        await client.limits()
        refused: list[Exception] = []

        def elsewhere() -> None:
            try:
                asyncio.run(client.limits())
            except RuntimeError as error:
                refused.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        await asyncio.to_thread(thread.join)
        assert [str(error).split(":")[0] for error in refused] == [
            "An AsyncClient belongs to one event loop, and another one uses it"
        ]
        await client.limits()
