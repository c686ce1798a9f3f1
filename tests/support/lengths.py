"""How long those tests go on that could go on for ever: briefly among all tests, long with `make faults`."""

import os
import random

TIMES = int(os.environ.get("CONEXIONES_EXAMPLES", "1"))
"""How many times as many examples are made up."""

EVERY_STEP = TIMES > 1


def kills() -> int:
    """How often something is killed."""
    return int(os.environ.get("CONEXIONES_KILLS", "2"))


def examples(few: int, *, long: int | None = None) -> int:
    """How many examples are made up: so few, or with `make faults` TIMES as many as `long`, if given."""
    return (long or few) * TIMES if EVERY_STEP else few


def stride(some: int) -> tuple[int, int]:
    """From which step on, and by how many steps: all of them, or one of so many, others each time."""
    return (0, 1) if EVERY_STEP else (random.randrange(some), some)
