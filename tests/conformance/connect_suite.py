"""The conformance suite of Connect, which tests gRPC and gRPC-Web as well."""

import re
import subprocess
import sys
from pathlib import Path

from tests.conformance.build import Suites
from tests.conformance.protocols import BUILD
from tests.conformance.result import Known, Result
from tests.conformance.server import LOG
from tests.support.paths import ROOT

FEATURES = Path(__file__).with_name("connect.yaml")

SERVERS = 2
"""Servers at a time: each is several processes."""

_TOTAL = re.compile(r"Total cases: (\d+)\n(\d+) passed, (\d+) failed")
_AS_KNOWN = re.compile(r"\(Another (\d+) failed as expected")
_PROBLEM = re.compile(r"^FAILED: (.*)$", re.MULTILINE)


def run(suites: Suites, known: list[Known]) -> Result:
    """Runs the suite with the list of known failures. The suite itself fails if a known failure passes, or if
    a pattern of the list matches no case."""
    LOG.unlink(missing_ok=True)
    patterns = BUILD / "known_failing.txt"
    patterns.write_text("".join(f"{case}\n" for entry in known for case in entry.cases))
    command: list[str | Path] = [
        *(suites.connectconformance, "--mode", "server", "--conf", FEATURES, "--max-servers", str(SERVERS)),
        *(
            "--known-failing",
            f"@{patterns}",
            "--",
            sys.executable,
            "-m",
            "tests.conformance.server",
            "--asked",
        ),
    ]
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    (BUILD / "connect.txt").write_text(done.stdout)
    total = _TOTAL.search(done.stdout)
    as_known = _AS_KNOWN.search(done.stdout)
    problems = _PROBLEM.findall(done.stdout)
    if not total or (done.returncode and not problems):
        problems.append(f"the suite has ended with {done.returncode}: {done.stdout[-2000:]}")
    return Result(
        suite="connect",
        passed=int(total[2]) if total else 0,
        known=int(as_known[1]) if as_known else 0,
        problems=problems,
    )
