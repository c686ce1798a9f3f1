"""Writes the pages of docs/ that are generated: the settings, the command line, the API reference; and the
tables in pages that are written by hand, in English and Spanish. And the dashboard.

python tools/docs.py           writes the pages
python tools/docs.py --check   prints which pages are out of date, and exits with status 1 if any is
"""

import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import access_table
import api_page
import dashboard
import spanish_tables
from click import Context, Group
from click.testing import CliRunner

from conexiones.cli import main as cli
from conexiones.settings import flag, table, variable

NO_ENVIRONMENT = {name: None for name in os.environ if name.startswith("CONEXIONES_")}
DOCS = Path(__file__).resolve().parent.parent / "docs"


def settings() -> str:
    lines = [
        "# Settings",
        "",
        "[Español](es/ajustes.md)",
        "",
        "`conexiones serve` and `python server/server_user.py` take these settings as flags or from the",
        "environment; flags take precedence. Sizes are in bytes or have a unit: `64MiB`, `16GiB`. Times are",
        "in seconds.",
        "",
        "| flag | environment | default | what it is for |",
        "| --- | --- | --- | --- |",
    ]
    for row in table():
        default = f"`{row.metadata['text']}`" if row.metadata["text"] else ""
        lines.append(f"| `{flag(row)}` | `{variable(row)}` | {default} | {row.metadata['says']} |")
    return "\n".join(lines) + "\n"


def commands() -> str:
    lines = ["# The command line", "", "This is what `--help` says of each command.", ""]
    for words in ([], *subcommands(cli)):
        ran = CliRunner().invoke(
            cli, [*words, "--help"], prog_name="conexiones", terminal_width=100, env=NO_ENVIRONMENT
        )
        lines += [f"## `{' '.join(['conexiones', *words])}`", "", "```", ran.output.rstrip("\n"), "```", ""]
    return "\n".join(lines)


def subcommands(group: Group) -> Iterator[list[str]]:
    """The words of all commands, those within groups behind their group."""
    context = Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield [name]
        if isinstance(command, Group):
            yield from ([name, *words] for words in subcommands(command))


def filled(name: str, fill: Callable[[str], str]) -> Callable[[], str]:
    """A page that is written by hand, but for a table."""
    return lambda: fill((DOCS / name).read_text())


PAGES = {
    "settings.md": settings,
    "cli.md": commands,
    "api.md": api_page.page,
    "access.md": filled("access.md", partial(access_table.page, language="en")),
    "es/acceso.md": filled("es/acceso.md", partial(access_table.page, language="es")),
    "es/ajustes.md": filled("es/ajustes.md", spanish_tables.settings),
    "es/errores.md": filled("es/errores.md", spanish_tables.reasons),
    "../deploy/grafana/conexiones.json": dashboard.dashboard,
}


def main() -> int:
    stale = []
    for name, text in PAGES.items():
        page = DOCS / name
        if not page.exists() or page.read_text() != text():
            stale.append(name)
            if "--check" not in sys.argv:
                page.write_text(text())
    if stale and "--check" in sys.argv:
        print("Out of date in docs/; run `make generate`:", *stale)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
