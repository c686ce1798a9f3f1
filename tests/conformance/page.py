"""docs/conformance.md: what a run has found, in the text of page.template.md."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.conformance.build import CONNECT, GRPC, H2SPEC
from tests.conformance.result import Result, known_failures
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "conformance.md"
TEMPLATE = Path(__file__).with_name("page.template.md")

# The name of each suite, and the Go module that it comes from.
_NAMES = {
    "connect": ("Connect conformance", CONNECT),
    "interop": ("gRPC interop client", GRPC),
    "h2spec": ("h2spec", H2SPEC),
}


def page(results: Sequence[Result], versions: Mapping[str, str]) -> str:
    found = ["| suite | version | cases | pass | known to fail |", "| --- | --- | ---: | ---: | ---: |"]
    for result in results:
        name, module = _NAMES[result.suite]
        numbers = f"{result.cases:,} | {result.passed:,} | {result.known}"
        found.append(f"| {name} | `{module}` {versions[module]} | {numbers} |")
    failures = ["| suite | cases | reason |", "| --- | --- | --- |"]
    for suite, (name, _) in _NAMES.items():
        for entry in known_failures(suite):
            cases = ", ".join(f"`{case}`" for case in entry.cases)
            failures.append(f"| {name} | {cases} | {entry.reason} |")
    return TEMPLATE.read_text().format(results="\n".join(found), failures="\n".join(failures))
