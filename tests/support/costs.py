"""pytest --costs: the processor time of each module of tests, with that of all processes that it started.

A server that tests share counts for the one that started it, and its work for those that call it.
"""

from collections import Counter
from collections.abc import Generator

import pytest

from tests.support.processes import spent_seconds

_SHOWN = 40
_COST = "cpu seconds"


class Costs:
    """In each process of the tests it measures, and in the first one it adds up and prints."""

    def __init__(self) -> None:
        self._before = 0.0
        self._files: Counter[str] = Counter()
        self._tests: Counter[str] = Counter()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if call.when == "teardown":
            now = spent_seconds()
            report.user_properties.append((_COST, now - self._before))
            self._before = now
        return report

    def pytest_collection_finish(self) -> None:
        self._before = spent_seconds()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown":
            for name, value in report.user_properties:
                if name == _COST and isinstance(value, float):
                    # Counters count whole numbers.
                    milliseconds = round(value * 1000)
                    self._files[report.nodeid.partition("::")[0]] += milliseconds
                    self._tests[report.nodeid] += milliseconds

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for title, costs in (("modules", self._files), ("tests", self._tests)):
            terminalreporter.section(f"CPU seconds of {title}: {sum(costs.values()) / 1000:.0f} in all")
            for name, milliseconds in costs.most_common(_SHOWN):
                terminalreporter.write_line(f"{milliseconds / 1000:8.2f}  {name}")
