"""`make replicas`: RUNS more runs, from the seed on that follows the last one.

Each run is a line in build/replicas/runs.jsonl, which says how far they have come. The engines and the
servers are started anew after every PIECE runs. A run that fails ends the program; the next one goes on
behind it. --seeds 7 8 makes these runs, and keeps nothing.
"""

import argparse
import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tests.replicas.faults.runs import Run, piece, run
from tests.support.node import built
from tests.support.paths import ROOT

OUT = ROOT / "build" / "replicas"
PIECE = 30

SWEEP = 4
"""One of so many runs ends with a sweep."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="tests.replicas.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=PIECE)
    parser.add_argument("--seeds", type=int, nargs="+", help="these runs, of which nothing is kept")
    parser.add_argument("--out", type=Path, default=OUT, help="the folder for what was seen")
    options = parser.parse_args()
    lines = options.out / "runs.jsonl"
    if options.seeds:
        return 1 if asyncio.run(_go(options.seeds, None)) else 0
    options.out.mkdir(parents=True, exist_ok=True)
    begin = max((int(one["seed"]) for one in _read(lines)), default=-1) + 1
    seeds = list(range(begin, begin + options.runs))
    failed = False
    while seeds and not failed:
        failed = asyncio.run(_go(seeds[:PIECE], lines))
        seeds = seeds[PIECE:]
    _sum(_read(lines))
    return 1 if failed else 0


async def _go(seeds: list[int], lines: Path | None) -> bool:
    """Whether a run has failed, which is the last one then."""
    async with piece(await asyncio.to_thread(built)) as load:
        for seed in seeds:
            done = await run(load, seed, sweep=seed % SWEEP == SWEEP - 1)
            _show(done)
            if lines is not None:
                with lines.open("a") as file:
                    file.write(json.dumps(done.as_json()) + "\n")
            if done.wrong:
                return True
    return False


def _show(done: Run) -> None:
    given_up = ", ".join(f"{times} × {what}" for what, times in done.failed.items())
    print(
        f"{done.seed}: {done.fault} for {done.away} s, stored again after {done.back} s; {done.seconds} s in"
        f" all, {done.stored} images so far, {done.events} events; {given_up or 'nothing was given up'}",
        flush=True,
    )
    for sentence in done.wrong:
        print(f"! {sentence}", flush=True)


def _read(lines: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.read_text().splitlines()] if lines.exists() else []


def _sum(runs: list[dict[str, Any]]) -> None:
    faults = Counter(str(one["fault"]) for one in runs)
    failed = [one["seed"] for one in runs if one["wrong"]]
    print(f"{len(runs)} runs of {len(faults)} faults; failed: {failed or 'none'}.")


if __name__ == "__main__":
    sys.exit(main())
