"""The table of methods and what they need, in docs/access.md: made from the routes of the server."""

import tempfile
from pathlib import Path

from conexiones.app import build
from conexiones.settings import Settings
from conexiones.transport.chain.call import Route
from conexiones.transport.router import Router

BEGIN, END = "<!-- generated: who may call what -->\n", "<!-- end -->\n"

_WORDS = {"any": "any credential", "none": "nothing"}


def page(text: str) -> str:
    """The page with a new table between its marks."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}{_table()}{END}{tail}"


def _table() -> str:
    with tempfile.TemporaryDirectory() as folder:
        router = build(Settings(data_dir=Path(folder), auth="required"))._router
    rows = ["| call | needs | a ticket is enough |", "| --- | --- | --- |"]
    rows += [_row(f"{one.service}/{one.method}", one) for one in router._rpcs.values()]
    rows += [_row(*one) for one in _plain(router)]
    return "\n".join(rows) + "\n"


def _plain(router: Router) -> list[tuple[str, Route]]:
    """The routes of plain HTTP."""
    sessions = [(f"{verb} /session", route) for verb, route in (router._sessions or {}).items()]
    return [("GET /images/{id}", router._images), ("GET /, GET /page/…", router._page), *sessions]


def _row(what: str, route: Route) -> str:
    # The handler of this one tells a token from other credentials, which is more than the route says.
    needs = "a token" if what == "POST /session" else _WORDS.get(route.needs, f"`{route.needs}`")
    return f"| `{what}` | {needs} | {'yes' if route.ticketed else ''} |"
