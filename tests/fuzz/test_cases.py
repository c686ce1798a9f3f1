"""Inputs that once showed a fault no longer do, and a few new ones of every target show none."""

import random
from collections.abc import Iterator

import pytest

from tests.fuzz import cases
from tests.fuzz.mutation import mutated
from tests.fuzz.target import MAX_BYTES, Check, Judge, Target
from tests.fuzz.targets import TARGETS

INPUTS = {
    "formats": 2000,
    "codecs": 4000,
    "front": 1000,
    "rpcs": 300,
    "http": 60,
    "renditions": 40,
    "wire": 2000,
}
"""Of each target, those that are made up here: a few seconds in all."""


@pytest.fixture(scope="module", params=TARGETS)
def target(request: pytest.FixtureRequest) -> Target:
    return TARGETS[request.param]


@pytest.fixture(scope="module")
def check(target: Target) -> Iterator[Check]:
    with target.opened() as check:
        yield check


def test_known_cases(target: Target, check: Check) -> None:
    judge = Judge(target, check)
    for path in cases.kept(target.name):
        fault = judge(path.read_bytes())
        assert fault is None or fault.kind == "slow" != path.name[:4], f"{path}: {fault.text}"


def test_inputs_of_a_fixed_seed(target: Target, check: Check) -> None:
    judge = Judge(target, check)
    choice = random.Random(target.name)
    seeds = target.seeds()
    for _ in range(INPUTS[target.name]):
        data = mutated(seeds, target.words, choice, MAX_BYTES)
        fault = judge(data)
        # Whether an input is slow is for `make fuzz`: here other tests take the processor's time.
        assert fault is None or fault.kind == "slow", f"{data[:200]!r}: {fault.text}"


def test_a_fault_is_found_and_reduced() -> None:
    """The machinery itself: a check that fails at one word, in an input that has it among others."""

    def fails_at_a_word(data: bytes) -> None:
        assert b"word" not in data

    judge = Judge(TARGETS["codecs"], fails_at_a_word)
    data = bytes(300) + b"a word" + bytes(300)
    fault = judge(data)
    assert fault is not None
    assert fault.kind == "crash"
    assert "fails_at_a_word" in fault.name
    assert cases.reduced(data, fault, judge) == b"word"
