"""Every route of the server says what it needs, as the table has it."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from conexiones.app import build
from conexiones.principals import Need
from conexiones.settings import Settings
from conexiones.transport.chain.call import Route
from conexiones.transport.router import Router
from tests.access.table import TABLE, pages

NEEDS = {need for part in get_args(Need) for need in (get_args(part) or (part,))}


@pytest.fixture
def router(tmp_path: Path) -> Router:
    return build(Settings(data_dir=tmp_path, auth="required"))._router


def route(router: Router, verb: str, path: str, content_type: bytes = b"") -> Route:
    """The route of a request."""

    async def nothing(*_: object) -> None:
        raise AssertionError("nothing is read or sent")

    scope = {
        "type": "http",
        "method": verb,
        "path": path.partition("?")[0],
        "query_string": path.partition("?")[2].encode(),
        "scheme": "http",
        "http_version": "1.1",
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", content_type)],
        "client": ("127.0.0.1", 1),
    }
    return router.call(scope, nothing, nothing).route


def routes_in(something: object) -> Iterator[Route]:
    """The routes that a router holds, wherever it has them."""
    if isinstance(something, Route):
        yield something
    elif isinstance(something, dict):
        for value in something.values():
            yield from routes_in(value)


def test_methods(router: Router) -> None:
    rpcs = {path: (route.needs, route.ticketed) for path, route in router._rpcs.items()}
    assert rpcs == {path: (row.needs, row.ticketed) for path, row in TABLE.items()}


def test_plain_http(router: Router) -> None:
    for page in pages("00000000-0000-0000-0000-000000000001"):
        found = route(router, page.verb, page.path)
        # A request that is refused as a whole needs nothing for that.
        assert (found.needs, found.ticketed) == (page.needs, False), page


def test_sessions(router: Router) -> None:
    """A session is begun with a credential. Whoever signs out may have one that has ended."""
    needs = {verb: route(router, verb, "/session").needs for verb in ("POST", "DELETE", "GET", "PUT")}
    assert needs == {"POST": "any", "DELETE": "none", "GET": "none", "PUT": "none"}


def test_every_route_says_what_it_needs(router: Router) -> None:
    found = [one for part in vars(router).values() for one in routes_in(part)]
    assert len(found) >= len(TABLE) + 2
    assert {one.needs for one in found} <= NEEDS
    for one in found:
        assert not (one.ticketed and one.needs != "write"), one


def test_a_route_that_says_nothing_is_none() -> None:
    with pytest.raises(TypeError, match="needs"):
        Route(service="a", method="b", endpoint=lambda _: None)  # type: ignore[call-arg, arg-type, return-value]
