"""The routes of a service: exactly one handler for each method that its descriptor has."""

from typing import Any

import pytest

from conexiones import routes
from conexiones.gen import user_pb2
from conexiones.transport.rpc.method import Handled, MessageLimit, Method, service

USUARIO = user_pb2.DESCRIPTOR.services_by_name["UsuarioServicio"]
LIMIT = MessageLimit(max_bytes=1000, streaming_method=routes.STREAMING_METHOD)


async def handler(request: Any, call: Any) -> Any:
    raise NotImplementedError


def handlers() -> dict[str, Handled]:
    return dict.fromkeys(USUARIO.methods_by_name, Handled(handler=handler, needs="none"))


def test_a_route_for_each_method() -> None:
    found = service(USUARIO.full_name, handlers(), LIMIT)
    assert found.keys() == {f"/{USUARIO.full_name}/{name}" for name in USUARIO.methods_by_name}
    for method in USUARIO.methods:
        route = found[f"/{USUARIO.full_name}/{method.name}"]
        assert (route.service, route.method, route.exempt) == (USUARIO.full_name, method.name, frozenset())
        assert isinstance(route.endpoint, Method)
        assert route.endpoint.streams == (method.client_streaming or method.server_streaming)


def test_exemptions_stand_at_the_route() -> None:
    given = {**handlers(), "GetUser": Handled(handler=handler, needs="none", exempt={"drain"})}
    found = service(USUARIO.full_name, given, LIMIT)
    exempt = {route.method: route.exempt for route in found.values() if route.exempt}
    assert exempt == {"GetUser": {"drain"}}


@pytest.mark.parametrize("name", list(USUARIO.methods_by_name))
def test_a_handler_that_is_missing(name: str) -> None:
    given = handlers()
    del given[name]
    with pytest.raises(ValueError, match=name):
        service(USUARIO.full_name, given, LIMIT)


@pytest.mark.parametrize("name", ["GetUsers", "getUser", "get_user", ""])
def test_a_handler_too_many(name: str) -> None:
    with pytest.raises(ValueError, match=USUARIO.full_name):
        service(USUARIO.full_name, {**handlers(), name: Handled(handler=handler, needs="none")}, LIMIT)


def test_a_service_that_is_not_known() -> None:
    with pytest.raises(KeyError):
        service("user.Otro", {}, LIMIT)
