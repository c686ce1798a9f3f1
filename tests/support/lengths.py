"""How long those tests go on that could go on for ever: briefly among all tests, long with `make faults`. And
which cases are left to `make thorough`, as others of their kind are enough each time."""

import os
import random
from collections.abc import Collection, Iterable
from typing import Any

import pytest

THOROUGH = pytest.mark.thorough
"""`make thorough` runs these, and `make test` others of the same kind."""

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


def brief(cases: Iterable[Any], few: Collection[Any]) -> list[Any]:
    """The cases, for pytest.mark.parametrize: those that are not of the `few` are left to `make thorough`."""
    cases = list(cases)
    assert set(few) < set(cases)
    return [case if case in few else pytest.param(case, marks=THOROUGH) for case in cases]
