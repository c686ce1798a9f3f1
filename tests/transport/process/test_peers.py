"""Who a client is: its address, or what a proxy says where one is trusted."""

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from pyqwest import Client, HTTPTransport, HTTPVersion

from conexiones.testing import Server
from tests.support.certificates import authority, tls
from tests.support.waiting import DEADLINE
from tests.transport.application import serving

Told = dict[str, Any]
Secured = tuple[str, int, bytes]
"""The address of a server as URLs have it, its port, and the CA of its certificate."""

FORGED = {"x-forwarded-for": "192.0.2.1", "x-envoy-external-address": "192.0.2.1", "x-real-ip": "192.0.2.1"}
FORGED |= {"forwarded": "for=192.0.2.1", "x-conexiones-connection": "forged"}


@pytest.fixture
def telling(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(
            serving("tests.transport.process.peers", tmp_path / "data", **settings)
        )


@pytest.fixture(scope="module", params=["127.0.0.1", "[::1]"])
def secured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("peers")
    certs = authority(folder / "certs")
    settings = {"address": f"{request.param}:0", **tls(certs)}
    with serving("tests.transport.process.peers", folder / "data", **settings) as server:
        yield request.param, server.port, (certs / "ca.pem").read_bytes()


async def ask(transport: HTTPTransport, url: str, **headers: str) -> Told:
    answer = await Client(transport).get(f"{url}/", headers)
    told: Told = json.loads(answer.content)
    return told


@pytest.mark.parametrize("version", [HTTPVersion.HTTP1, HTTPVersion.HTTP2, HTTPVersion.HTTP3])
async def test_it_is_the_peer(secured: Secured, version: HTTPVersion) -> None:
    at, port, ca = secured
    host = at.strip("[]")
    async with (
        HTTPTransport(tls_ca_cert=ca, http_version=version) as one,
        HTTPTransport(tls_ca_cert=ca, http_version=version) as other,
    ):
        url = f"https://{at}:{port}"
        told = [await ask(one, url, **FORGED) for _ in range(5)]
        # A client of HTTP/1.1 opens another connection if the last one is not back in its pool yet.
        async with asyncio.timeout(DEADLINE):
            while len({answer["connection"] for answer in told}) == len(told):
                told.append(await ask(one, url, **FORGED))
        elsewhere = await ask(other, url, **FORGED)
    assert {answer["peer"][0] for answer in (*told, elsewhere)} == {host}
    assert {answer["client"] for answer in (*told, elsewhere)} == {"::/64" if ":" in host else host}
    connections = {answer["connection"]: answer for answer in told}
    assert version is HTTPVersion.HTTP1 or len(connections) == 1
    assert all(answer == connections[answer["connection"]] for answer in told)
    assert not {elsewhere["connection"], "forged"} & {*connections}


async def test_a_proxy_that_is_trusted_names_it(telling: Callable[..., Server]) -> None:
    """Only the address that the proxy itself has added counts, which is the last one."""
    server = telling(trusted_proxies="1")
    async with (
        HTTPTransport(http_version=HTTPVersion.HTTP2) as one,
        HTTPTransport(http_version=HTTPVersion.HTTP2) as other,
    ):
        url = f"http://127.0.0.1:{server.port}"
        forged = FORGED | {"x-forwarded-for": "192.0.2.1, 198.51.100.7"}
        first, again, second = [await ask(transport, url, **forged) for transport in (one, one, other)]
        network = await ask(one, url, **{"x-forwarded-for": "2001:db8:1:2:3::4"})
        direct = await ask(one, url)
    assert first["client"] == "198.51.100.7"
    assert first["connection"] == again["connection"] != second["connection"]
    assert first["connection"].isdigit()
    assert network["client"] == "2001:db8:1:2::/64"
    assert direct["client"] == "127.0.0.1"


@pytest.mark.parametrize("line", [b"PROXY TCP4 198.51.100.7 192.0.2.9 5678 443\r\n", b""])
async def test_the_proxy_protocol_names_it(telling: Callable[..., Server], line: bytes) -> None:
    server = telling(proxy_protocol="true")
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(line + b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    answer = b""
    async with asyncio.timeout(DEADLINE):
        with suppress(ConnectionError):  # a connection that does not say whose it is is closed
            answer = await reader.read()
    writer.close()
    assert answer.count(b'"peer": ["198.51.100.7", 5678]') == (1 if line else 0)
    assert bool(answer) == bool(line)


def test_the_line_of_a_proxy_is_an_error_otherwise(telling: Callable[..., Server]) -> None:
    server = telling()
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE) as connection:
        connection.sendall(b"PROXY TCP4 198.51.100.7 192.0.2.9 5678 443\r\nGET / HTTP/1.1\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")
