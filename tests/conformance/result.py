"""The result of a suite, compared with the list of known failures."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_KNOWN = Path(__file__).with_name("known_failures.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Cases, or patterns of cases, of a suite that are known to fail, and the reason why they cannot pass."""

    cases: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The cases of one suite: how many pass, how many fail as is known, and what is wrong with the rest."""

    suite: str
    passed: int
    known: int
    problems: list[str] = field(default_factory=list)

    @property
    def cases(self) -> int:
        return self.passed + self.known + len(self.problems)


def known_failures(suite: str) -> list[Known]:
    """Those of one suite, "connect", "interop" or "h2spec"."""
    return [
        Known(cases=tuple(entry["cases"]), reason=entry["reason"])
        for entry in tomllib.loads(_KNOWN.read_text()).get(suite, [])
    ]


def compared(suite: str, outcomes: Mapping[str, str], known: list[Known]) -> Result:
    """`outcomes` has for each case what went wrong, or an empty text. A known failure that passes, or that is
    none of the cases, is a problem like an unknown failure."""
    expected = {case for entry in known for case in entry.cases}
    passed = {case for case, wrong in outcomes.items() if not wrong}
    problems = [f"{case}: {wrong}" for case, wrong in outcomes.items() if wrong and case not in expected]
    problems += [f"{case} is known to fail, but passes" for case in sorted(expected & passed)]
    problems += [
        f"{case} is known to fail, but there is no such case" for case in sorted(expected - outcomes.keys())
    ]
    return Result(
        suite=suite,
        passed=len(passed - expected),
        known=len(expected & outcomes.keys() - passed),
        problems=problems,
    )
