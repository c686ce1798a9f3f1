"""`python -m tests.fuzz SECONDS [TARGET …]`: fuzzes the targets in turns, each in a process of its own, and
reports.

The exit status is 1 if an input failed or was slow.
"""

import subprocess
import sys
from dataclasses import asdict

from tests.fuzz import cases
from tests.fuzz.state import State
from tests.fuzz.target import Fault
from tests.fuzz.targets import TARGETS

TURN_SECONDS = 120.0
"""How long one target runs before it is the next one's turn. What it has learnt is kept."""


def turn(name: str, seconds: float) -> bool:
    """Whether the turn came to its end. An input that ended it is kept, though not reduced."""
    blind = [] if TARGETS[name].guided else ["blind"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.run", name, str(seconds), *blind],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        print(f"{name} ended with {done.returncode}:\n{done.stdout[-4000:]}", flush=True)
    for line in done.stdout.splitlines():
        if line.startswith(f"{name}: "):
            print(line, flush=True)
    for artifact in State(name).artifacts():
        fault = Fault("crash", artifact.name.partition("-")[0], "")
        print(f"kept as {cases.keep(name, fault, artifact.read_bytes())}", flush=True)
        artifact.unlink()
    return not done.returncode


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
    ended = True
    while any(left.values()):
        for name in names:
            if left[name]:
                piece = min(left[name], TURN_SECONDS)
                left[name] = left[name] - piece if left[name] - piece > 1 else 0
                ended &= turn(name, piece)
    return 0 if report(names, before) == 0 and ended else 1


if __name__ == "__main__":
    sys.exit(main())
