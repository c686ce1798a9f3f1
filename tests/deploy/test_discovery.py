"""The balancer of deploy/scale finds its servers by their name, also those that are added later."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conexiones import Client
from conexiones.testing import Server, serve
from tests.deploy.scale import Balancer, balancer
from tests.support.addresses import free_port
from tests.support.name_server import name_server
from tests.support.scrapes import scraped, value
from tests.support.waiting import until

NAME = "conexiones"
"""As it stands in envoy.yaml and in compose.yaml."""


@contextmanager
def _server(host: str, port: int) -> Iterator[Server]:
    with serve(address=f"{host}:{port}", admin_address="127.0.0.1:0") as server:
        yield server


def _calls(before: Balancer, servers: list[Server]) -> list[float]:
    """How many of forty calls went to each server."""

    def counted() -> list[float]:
        name = "rpc_server_call_duration_seconds_count"
        return [value(scraped(one), name, rpc_method="user.UsuarioServicio/GetUser") for one in servers]

    was = counted()
    with Client(before.address) as client:
        for _ in range(40):
            client.get_user("Ana", 12)
    # A server counts a call when it has answered it.
    asyncio.run(until(lambda: sum(counted()) >= sum(was) + 40))
    return [now - then for now, then in zip(counted(), was, strict=True)]


def test_servers_are_found_by_their_name(tmp_path: Path) -> None:
    port = free_port("127.0.0.81", "127.0.0.82")
    with name_server() as names, _server("127.0.0.81", port) as one, _server("127.0.0.82", port) as other:
        names.addresses[NAME] = ["127.0.0.81"]
        with balancer(tmp_path, [f"{NAME}:{port}"], names=names.address) as before:
            asyncio.run(before.has(healthy=1))
            assert _calls(before, [one, other]) == [40, 0]
            names.addresses[NAME] = ["127.0.0.81", "127.0.0.82"]
            asyncio.run(before.has(healthy=2))
            assert min(_calls(before, [one, other])) > 0
            names.addresses[NAME] = ["127.0.0.82"]
            one.stop()
            asyncio.run(before.has(healthy=1))
            assert _calls(before, [other]) == [40]
