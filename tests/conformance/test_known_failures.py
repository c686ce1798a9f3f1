"""A list of known failures that is no longer true makes a run fail."""

from tests.conformance.result import Known, compared

KNOWN = [Known(cases=("a", "b"), reason="it cannot")]


def test_a_known_failure_that_fails_is_no_problem() -> None:
    result = compared("h2spec", {"a": "wrong", "b": "wrong", "c": ""}, KNOWN)
    assert (result.cases, result.passed, result.known, result.problems) == (3, 1, 2, [])


def test_a_known_failure_that_passes_is_a_problem() -> None:
    result = compared("h2spec", {"a": "", "b": "wrong", "c": ""}, KNOWN)
    assert (result.cases, result.passed, result.known) == (3, 1, 1)
    assert result.problems == ["a is known to fail, but passes"]


def test_a_failure_that_is_not_known_is_a_problem() -> None:
    result = compared("h2spec", {"a": "wrong", "b": "wrong", "c": "late"}, KNOWN)
    assert (result.cases, result.passed, result.known, result.problems) == (3, 0, 2, ["c: late"])


def test_a_known_failure_that_was_not_tried_is_a_problem() -> None:
    assert compared("h2spec", {"a": "wrong"}, KNOWN).problems == [
        "b is known to fail, but there is no such case"
    ]
