"""docs/foreign-clients.md: which cases each client makes, in the text of page.template.md.

That every one of them is well is what a run shows: it fails otherwise.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.foreign.clients import ALONE, CLIENTS
from tests.foreign.given import CASES
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "foreign-clients.md"
HERE = Path(__file__).resolve().parent


def versions() -> Mapping[str, str]:
    """The version of each library that is tried, as its family pins it."""
    go = dict(re.findall(r"^\t(\S+) v(\S+)$", (HERE / "go" / "go.mod").read_text(), re.MULTILINE))
    node = json.loads((HERE / "node" / "package.json").read_text())["dependencies"]
    rust = tomllib.loads((HERE / "rust" / "Cargo.toml").read_text())["dependencies"]
    [java] = re.findall(r"<grpc\.version>(.+)</grpc\.version>", (HERE / "java" / "pom.xml").read_text())
    [python] = re.findall(r"^grpclib==(.+)$", (HERE / "python" / "requirements.in").read_text(), re.MULTILINE)
    return {
        "grpc-go": go["google.golang.org/grpc"],
        "connect-go": go["connectrpc.com/connect"],
        "grpcurl": go["github.com/fullstorydev/grpcurl"],
        "grpc_health_probe": go["github.com/grpc-ecosystem/grpc-health-probe"],
        "grpc-java": java,
        "tonic": rust["tonic"]["version"],
        "connect-es": node["@connectrpc/connect-node"],
        "grpc-web": node["grpc-web"],
        "nice-grpc": node["nice-grpc"],
        "grpclib": python,
    }


def page() -> str:
    found = versions()
    names = list(CASES)
    tried = [
        f"| client | version | {' | '.join(names)} |",
        f"| --- | --- |{' :-: |' * len(names)}",
    ]
    for client in CLIENTS:
        cells = " | ".join("✓" if name in client.cases else "" for name in names)
        tried.append(f"| {client} | {found[client.library]} | {cells} |")
    cases = [
        "| case | what it is |",
        "| --- | --- |",
        *(f"| {name} | {what} |" for name, what in CASES.items()),
    ]
    return (
        (HERE / "page.template.md")
        .read_text()
        .format(tried="\n".join(tried), cases="\n".join(cases), left_out="\n".join(_left_out()))
    )


def _left_out() -> Iterator[str]:
    for library in dict.fromkeys(client.library for client in CLIENTS):
        reasons: dict[str, dict[str, None]] = {}
        for client in CLIENTS:
            if client.library == library:
                for case, reason in client.left_out.items():
                    reasons.setdefault(reason, {})[case] = None
        said = [
            f"{'nothing but health' if reason == ALONE else 'no ' + ', '.join(cases)}, since {reason}"
            for reason, cases in reasons.items()
            if reason
        ]
        if said:
            yield f"- {library}: {'; '.join(said)}"
