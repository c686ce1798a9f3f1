"""`python -m tests.fuzz SECONDS [TARGET …]`: fuzzes the targets in turns, each in a process of its own, and
reports.

The exit status is 1 if an input failed or was slow.
"""

import subprocess
import sys
from dataclasses import asdict

from tests.fuzz.state import State
from tests.fuzz.targets import TARGETS

TURN_SECONDS = 120.0
"""How long one target runs before it is the next one's turn. What it has learnt is kept."""


def turn(name: str, seconds: float) -> None:
    blind = [] if TARGETS[name].guided else ["blind"]
    # A process that hangs or dies is found by its artifact, or by what it says here.
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.run", name, str(seconds), *blind],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        print(f"{name} ended with {done.returncode}:\n{done.stdout[-4000:]}", flush=True)


def report(names: list[str], before: dict[str, dict[str, float]]) -> int:
    bad = 0
    print("target        inputs in all   new inputs   CPU seconds   crashes   slow   slowest input")
    for name in names:
        counts = State(name).counts()
        new = counts.inputs - before[name]["inputs"]
        found = counts.crashes + counts.slow - before[name]["crashes"] - before[name]["slow"]
        print(
            f"{name:<12} {counts.inputs:>14,} {new:>12,} {counts.cpu_seconds:>13,.0f}"
            f" {counts.crashes:>9} {counts.slow:>6} {counts.slowest:>13.3f} s"
        )
        bad += found > 0
    return bad


def main() -> int:
    seconds = float(sys.argv[1])
    names = sys.argv[2:] or list(TARGETS)
    if unknown := set(names) - TARGETS.keys():
        print(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
        return 2
    before = {name: asdict(State(name).counts()) for name in names}
    each = seconds / len(names)
    left = dict.fromkeys(names, each)
    while any(left.values()):
        for name in names:
            if left[name]:
                piece = min(left[name], TURN_SECONDS)
                left[name] = left[name] - piece if left[name] - piece > 1 else 0
                turn(name, piece)
    return 1 if report(names, before) else 0


if __name__ == "__main__":
    sys.exit(main())
