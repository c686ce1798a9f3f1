"""The tables of the Spanish pages in docs/es, made from the same sources as the English ones.

A page has its table between marks. What the code says is written anew: names, defaults, codes, sentences of
errors. The one cell of each row that nobody can generate, what a setting is for or what to do about an error,
is kept as it stands in the page. That of a new row is in English until somebody translates it, and until then
tests/docs/test_languages.py fails.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from conexiones import errors
from conexiones.settings import flag, table, variable

DOCS = Path(__file__).resolve().parent.parent / "docs"


def settings(page: str) -> str:
    """The page with a new table of settings."""
    kept = _kept(page, 3)
    rows = []
    for row in table():
        name, default = f"`{flag(row)}`", f"`{row.metadata['text']}`" if row.metadata["text"] else ""
        says = kept.get(name, row.metadata["says"])
        rows.append([name, f"`{variable(row)}`", default, says])
    return _filled(page, "settings", ["ajuste", "variable de entorno", "por omisión", "para qué sirve"], rows)


def reasons(page: str) -> str:
    """The page with a new table of errors. Its rows are those of docs/errors.md."""
    kept = _kept(page, 4)
    rows = []
    for reason, code, http, _, when, details in _cells((DOCS / "errors.md").read_text()):
        message = errors.BY_REASON[reason.strip("`")].spanish
        details = details.replace("but not for JSON", "salvo en JSON")
        rows.append([reason, code, http, message, kept.get(reason, when), details])
    head = ["motivo", "código de gRPC", "HTTP", "mensaje", "cuándo ocurre y qué hacer", "más detalles"]
    return _filled(page, "errors", head, rows)


def _filled(page: str, name: str, head: list[str], rows: Iterable[list[str]]) -> str:
    begin, end = f"<!-- generated: {name} -->\n", "<!-- end -->\n"
    before, found, rest = page.partition(begin)
    if not found:
        raise ValueError(f"a page lacks the mark {begin}")
    lines = [_line(head), _line(["---"] * len(head)), *map(_line, rows)]
    return before + begin + "\n".join(lines) + "\n" + end + rest.partition(end)[2]


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _kept(page: str, column: int) -> dict[str, str]:
    """What a column says now, by the first cell of its row."""
    return {cells[0]: cells[column] for cells in _cells(page) if len(cells) > column}


def _cells(page: str) -> list[list[str]]:
    return [re.split(r" *\| *", line)[1:-1] for line in page.splitlines() if line.startswith("| `")]
