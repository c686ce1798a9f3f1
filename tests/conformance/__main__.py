"""`make conformance`: builds the suites, runs them, and holds the results against docs/conformance.md."""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from tests.conformance import connect_suite, h2spec_suite, interop_suite
from tests.conformance.build import BuildError, build
from tests.conformance.page import PAGE, page
from tests.conformance.result import known_failures

SHOWN = 40
"""Problems that are printed of each suite."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.conformance", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/conformance.md if all is well")
    options = parser.parse_args()
    begin = time.monotonic()
    try:
        suites = build()
    except BuildError as error:
        print(f"The suites cannot be built. {error}", file=sys.stderr)
        return 1
    print(f"The suites are built, after {time.monotonic() - begin:.0f} seconds.", flush=True)
    with ThreadPoolExecutor() as pool:
        # h2spec waits most of the time: for frames that do not come.
        frames = pool.submit(h2spec_suite.run, suites, known_failures("h2spec"))
        results = [
            connect_suite.run(suites, known_failures("connect")),
            interop_suite.run(suites, known_failures("interop")),
            frames.result(),
        ]
    for result in results:
        known = f"{result.known} fail as is known"
        print(f"{result.suite}: {result.passed:,} of {result.cases:,} cases pass, {known}")
        for problem in result.problems[:SHOWN]:
            print(f"  {problem}")
        if len(result.problems) > SHOWN:
            print(f"  … and {len(result.problems) - SHOWN} more")
    print(f"It took {time.monotonic() - begin:.0f} seconds.")
    if any(result.problems for result in results):
        return 1
    found = page(results, suites.versions)
    if options.write:
        PAGE.write_text(found)
    elif not PAGE.exists() or PAGE.read_text() != found:
        print(f"{PAGE.name} says something else: see `make conformance ARGS=--write`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
