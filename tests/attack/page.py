"""docs/security.md: what a run has found, in the text of page.template.md."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

from tests.attack.measure import PHASES, Result, Times
from tests.attack.rows import ROWS
from tests.attack.verdict import FLOOR, TIMES, broken, milli
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "security.md"
TEMPLATE = Path(__file__).with_name("page.template.md")


def page(results: Mapping[str, Result]) -> str:
    """The page of the results by row. A row that was not measured is shown without figures."""
    floors = ", ".join(f"{1000 * seconds:.0f} ms for {_WORDS[kind]}" for kind, seconds in FLOOR.items())
    return TEMPLATE.read_text().format(
        table="\n".join(_table(results)),
        not_kept="\n".join(_not_kept(results)) or "All rows that were measured keep the promise.",
        rows=len(ROWS) - 1,
        times=f"{TIMES:.0f}",
        floors=floors,
        **asdict(Times()),
    )


_WORDS = {
    "GetUser": "GetUser",
    "new client": "a new client",
    "ProcessImage": "ProcessImage",
    "rendition": "a rendition",
    "upload": "an upload",
}


def _table(results: Mapping[str, Result]) -> Iterator[str]:
    yield "| the greedy client | " + " | ".join(FLOOR) + " | memory |"
    yield "| --- |" + " ---: |" * (len(FLOOR) + 1)
    group = ""
    for row in ROWS.values():
        if row.group != group:
            group = row.group
            yield f"| **{group}** |" + " |" * (len(FLOOR) + 1)
        result = results.get(row.name)
        cells = [_cell(result, kind) for kind in FLOOR] if result else [""] * len(FLOOR)
        memory = str(result.memory["peak"]) if result else ""
        does = row.does + (f" (exempt: {row.exempt})" if row.exempt else "")
        yield f"| `{row.name}`: {does} | " + " | ".join(cells) + f" | {memory} |"


def _cell(result: Result, kind: str) -> str:
    seen = [result.phases[phase].get(kind) for phase in PHASES]
    return " / ".join(milli(one.p95) + ("!" if one.failures else "") if one else "–" for one in seen)


def _not_kept(results: Mapping[str, Result]) -> Iterator[str]:
    for name, result in results.items():
        if found := list(broken(result)):
            yield f"- `{name}`: {'; '.join(found)}."
