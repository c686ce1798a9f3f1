"""The table of methods and what they need, in docs/access.md and docs/es/acceso.md: made from the routes of
the server."""

import tempfile
from pathlib import Path

from conexiones.app import build
from conexiones.settings import Settings
from conexiones.transport.chain.call import Route
from conexiones.transport.router import Router

BEGIN, END = "<!-- generated: who may call what -->\n", "<!-- end -->\n"

_WORDS = {
    "en": {
        "head": "| call | needs | a ticket is enough |",
        "any": "any credential",
        "none": "nothing",
        "token": "a token",
        "yes": "yes",
    },
    "es": {
        "head": "| llamada | qué necesita | basta un pase |",
        "any": "cualquier credencial",
        "none": "nada",
        "token": "un token",
        "yes": "sí",
    },
}


def page(text: str, language: str) -> str:
    """The page with a new table between its marks."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}{_table(_WORDS[language])}{END}{tail}"


def _table(words: dict[str, str]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        router = build(Settings(data_dir=Path(folder), auth="required"))._router
    rows = [words["head"], "| --- | --- | --- |"]
    rows += [_row(f"{one.service}/{one.method}", one, words) for one in router._rpcs.values()]
    rows += [_row(*one, words) for one in _plain(router)]
    return "\n".join(rows) + "\n"


def _plain(router: Router) -> list[tuple[str, Route]]:
    """The routes of plain HTTP."""
    sessions = [(f"{verb} /session", route) for verb, route in (router._sessions or {}).items()]
    return [
        ("GET /images/{id}", router._images),
        ("GET /, GET /page/…, GET /learn/…", router._page),
        *sessions,
    ]


def _row(what: str, route: Route, words: dict[str, str]) -> str:
    # The handler of this one tells a token from other credentials, which is more than the route says.
    needs = words["token"] if what == "POST /session" else words.get(route.needs, f"`{route.needs}`")
    return f"| `{what}` | {needs} | {words['yes'] if route.ticketed else ''} |"
