"""`python -m tests.attack.greedy ROW`: the greedy client of a row, in a process of its own.

Standard input has the fields of the Target as JSON. It prints one line when the attack begins. When its input
ends, or after LONGEST seconds, it prints its tally as JSON and ends. It runs at the lowest priority, so that
it gets only the processor time for which neither the server nor the good client asks: what the good client
sees is then the work that the server does for the attack, and not that three programs share two cores.
"""

import asyncio
import contextlib
import json
import os
import resource
import sys

from tests.attack.rows import ROWS
from tests.support.attacks.credentials import TOKEN
from tests.support.attacks.target import Tally, Target

LONGEST = 120.0
"""Seconds after which an attack ends by itself."""

MEMORY = 6 << 30
"""Bytes of address space that it may have."""


async def main(name: str) -> None:
    target = Target(**json.loads(sys.stdin.readline()))
    TOKEN.set(target.token)
    tally: Tally = Tally()
    attack = ROWS[name].prepare()
    print("begins", flush=True)
    attacking = asyncio.create_task(attack(target, tally))
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, ended.set)
    ending = asyncio.create_task(ended.wait())
    await asyncio.wait([attacking, ending], timeout=LONGEST, return_when=asyncio.FIRST_COMPLETED)
    attacking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await attacking
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({**tally, "cpu seconds": round(used.ru_utime + used.ru_stime, 1)}), flush=True)
    os._exit(0)  # connections that are open are closed by the kernel at once


if __name__ == "__main__":
    os.nice(19)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    asyncio.run(main(sys.argv[1]))
