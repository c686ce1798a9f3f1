"""What is promised to the good client, and whether a row keeps it."""

from collections.abc import Iterator

from tests.attack.measure import PHASES, Result
from tests.attack.rows import ROWS

TIMES = 3.0
"""During and after an attack, the good client's p95 stays under so many times what it is alone."""

FLOOR = {"GetUser": 0.05, "new client": 0.1, "ProcessImage": 0.2, "rendition": 0.3, "upload": 0.4}
"""Seconds that count as p95 alone if it is less. They are what the row "nothing" shows: on two cores, the
good client's own five kinds of work, the disk, and a greedy program that takes the rest of the processor time
delay each other by that much, without a single request of the greedy one. Below them, three times the figure
alone would be a verdict on the scheduler and the disk."""


def bound(result: Result, kind: str) -> float:
    """The p95 in seconds that the good client may see of a kind of work."""
    alone = result.phases[PHASES[0]].get(kind)
    return TIMES * max(FLOOR[kind], alone.p95 if alone else 0.0)


def broken(result: Result) -> Iterator[str]:
    """What the row does not keep, in words; nothing if it is exempt."""
    if ROWS[result.row].exempt:
        return
    if result.did.get("died"):
        yield "the greedy client failed"
    for phase in PHASES[1:]:
        for kind in FLOOR:
            seen = result.phases[phase].get(kind)
            if seen is None:
                yield f"{kind}: none {phase}"
                continue
            if seen.failures:
                reasons = ", ".join(f"{count} × {reason}" for reason, count in seen.failures.items())
                yield f"{kind} failed {phase}: {reasons}"
            if seen.p95 > bound(result, kind):
                yield f"{kind} {phase}: p95 {milli(seen.p95)} of at most {milli(bound(result, kind))} ms"
    if any(" ERROR " in line for line in result.log):
        yield "errors in the server's log"


def milli(seconds: float) -> str:
    return f"{1000 * seconds:,.0f}"
