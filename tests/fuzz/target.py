"""What a target is, and what is wrong with an input: it failed, or it took too long."""

import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.support.paths import ROOT

MAX_BYTES = 1 << 16
"""The longest input. What grows with the size of a file is bounded by other tests (tests/domain/formats)."""

Check = Callable[[bytes], None]
"""Takes an input. It raises whatever it likes if the input shows a fault of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something that is fuzzed.

    `seeds` are the inputs to begin with. `opened` gives the check, as long as the block lasts. An input is
    slow if it takes more than `seconds` of `clock`, three times over. `guided` says that the program under
    test is in this process, so that its branches can lead the search. `words` are parts that inputs are often
    made of.
    """

    name: str
    seeds: Callable[[], Sequence[bytes]]
    opened: Callable[[], AbstractContextManager[Check]]
    seconds: float
    clock: Callable[[], float] = time.thread_time
    guided: bool = True
    words: tuple[bytes, ...] = ()


class Complaint(Exception):
    """What a check raises where the exception does not say by itself which fault it is."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with an input. Faults with the same `name` are taken for the same one."""

    kind: str
    name: str
    text: str


class Judge:
    """Tries inputs, and counts them."""

    def __init__(self, target: Target, check: Check) -> None:
        self._target = target
        self._check = check
        self.inputs = 0
        self.slowest = 0.0
        self.slowest_input = b""

    def __call__(self, data: bytes) -> Fault | None:
        self.inputs += 1
        try:
            seconds = self._seconds(data)
            if seconds > self._target.seconds:
                # The machine may have been busy with something else.
                seconds = min(seconds, self._seconds(data), self._seconds(data))
        except Exception as error:
            return _fault(error)
        if seconds > self.slowest:
            self.slowest, self.slowest_input = seconds, data
        if seconds > self._target.seconds:
            return Fault("slow", "slow", f"{seconds:.3f} s for {len(data)} bytes")
        return None

    def _seconds(self, data: bytes) -> float:
        before = self._target.clock()
        self._check(data)
        return self._target.clock() - before


def _fault(error: Exception) -> Fault:
    """The fault that an exception shows, named by its class and the innermost line of this project in it."""
    if isinstance(error, Complaint):
        return Fault("crash", error.name, str(error))
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(ROOT)] or list(frames)
    place = f"{Path(ours[-1].filename).stem}-{ours[-1].name.strip('<>_')}"
    text = "".join(traceback.format_exception(error))
    return Fault("crash", f"{type(error).__name__}-{place}", text)
