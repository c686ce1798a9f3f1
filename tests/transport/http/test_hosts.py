"""Host and Origin: pages of others may not call the server through a browser."""

import json
import socket

import pytest

from conexiones.errors import ConexionesError, PermissionDenied, UnknownHost, UnknownOrigin
from conexiones.testing import Server
from conexiones.transport.http.hosts import Hosts
from tests.support.calls import GET_USER
from tests.support.clients import Headers, curl, http2

JSON: Headers = {"content-type": "application/json"}
ANA = b'{"name": "Ana"}'


def judged(hosts: Hosts, host: str, origin: str | None = None, version: str = "1.1") -> object:
    index = {b"host": host.encode()} | ({b"origin": origin.encode()} if origin else {})
    try:
        hosts.check({"http_version": version}, index)
    except PermissionDenied as error:
        return type(error)
    return None


def ours(*names: str, listening: str = "127.0.0.1", origins: tuple[str, ...] = (), secure: bool = False):
    return Hosts(names, listening=listening, origins=origins, secure=secure)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:50051",
        "[::1]:50051",
        "192.0.2.7",
        "localhost",
        "LOCALHOST.:80",
        "app.localhost",
        "images.example:80",
        "inside.example",
        socket.gethostname(),
    ],
)
def test_a_host_that_is_ours(host: str) -> None:
    assert judged(ours("Images.example", listening="inside.example"), host) is None


@pytest.mark.parametrize(
    "host", ["", "evil.example", "127.0.0.1.evil.example", "localhost.evil", "[::1", "x:y"]
)
def test_a_host_that_is_not(host: str) -> None:
    assert judged(ours("images.example"), host) is UnknownHost
    # Neither a client of gRPC nor one that has checked the certificate is asked for it.
    assert judged(ours(), host, version="2") is None
    assert judged(ours(secure=True), host) is None
    assert judged(ours("*"), host) is None


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:50051", "localhost:50051"),
        ("http://127.0.0.1", "127.0.0.1:80"),
        ("https://[::1]", "[::1]:443"),
        ("https://images.example", "127.0.0.1:50051"),
        ("https://app.example:8443", "127.0.0.1:50051"),
    ],
)
@pytest.mark.parametrize("version", ["1.1", "2", "3"])
def test_an_origin_that_may_call(origin: str, host: str, version: str) -> None:
    hosts = ours("images.example", origins=("https://app.example:8443",))
    assert judged(hosts, host, origin, version) is None


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://localhost:3000",
        "http://192.0.2.7",
        "http://evil.example",
        "https://app.example",
        "file://",
        "ftp://localhost:50051",
        "http://[::1",
    ],
)
@pytest.mark.parametrize("version", ["1.1", "2", "3"])
def test_an_origin_that_may_not(origin: str, version: str) -> None:
    hosts = ours("images.example", origins=("https://app.example:8443",))
    assert judged(hosts, "localhost:50051", origin, version) is UnknownOrigin
    assert judged(ours(origins=("*",)), "localhost:50051", origin, version) is None


@pytest.mark.parametrize(
    ("more", "status", "error"),
    [
        ({"host": "evil.example"}, 421, UnknownHost()),
        ({"host": "evil.example", "origin": "http://evil.example"}, 421, UnknownHost()),
        ({"origin": "http://evil.example"}, 403, UnknownOrigin()),
    ],
)
def test_the_answer(shared: Server, more: Headers, status: int, error: ConexionesError) -> None:
    called = curl(shared.address, GET_USER, ANA, JSON | more)
    assert called.status == status
    assert json.loads(called.body)["code"] == "permission_denied"
    assert json.loads(called.body)["message"] == error.message
    for path in ("/", "/images/1"):
        shown = curl(shared.address, path, b"", more, method="GET")
        assert (shown.status, json.loads(shown.body)["reason"]) == (status, error.reason)
    preflight = {"access-control-request-method": "POST", "origin": "http://evil.example"} | more
    assert curl(shared.address, GET_USER, b"", preflight, method="OPTIONS").status == status


def test_a_page_of_ours_may_call(shared: Server) -> None:
    same: Headers = {"origin": f"http://{shared.address}"}
    assert curl(shared.address, GET_USER, ANA, JSON | same).status == 200
    assert http2(shared.address, GET_USER, ANA, JSON | same).status == 200


def test_grpc_web_hears_of_it_in_its_own_form(shared: Server) -> None:
    web: Headers = {"content-type": "application/grpc-web+proto", "origin": "http://evil.example"}
    answer = curl(shared.address, GET_USER, b"\0\0\0\0\0", web)
    assert (answer.status, answer.headers["grpc-status"]) == (200, "7")


@pytest.mark.parametrize(
    ("origin", "host", "scheme", "own"),
    [
        ("http://localhost:50051", "localhost:50051", "http", True),
        ("http://LOCALHOST:50051", "localhost:50051", "http", True),
        ("http://127.0.0.1", "127.0.0.1:80", "http", True),
        ("https://[::1]", "[::1]:443", "https", True),
        # Another scheme, port or host is another page, even if browsers take it for the same site.
        ("https://localhost:50051", "localhost:50051", "http", False),
        ("http://localhost:3000", "localhost:50051", "http", False),
        ("http://localhost", "localhost:50051", "http", False),
        ("http://app.localhost:50051", "localhost:50051", "http", False),
        ("http://127.0.0.1:50051", "localhost:50051", "http", False),
        ("https://app.example:8443", "localhost:50051", "https", False),
        ("null", "localhost:50051", "http", False),
        ("null", "", "http", False),
        ("http://", "", "http", False),
        # Behind a proxy that ends TLS, or changes the Host.
        ("https://images.example", "images.example", "http", True),
        ("https://images.example", "127.0.0.1:50051", "http", True),
        ("http://images.example", "127.0.0.1:50051", "http", False),
        ("https://images.example:8443", "127.0.0.1:50051", "http", False),
        # The browser has seen the port, so that there is no proxy.
        ("https://images.example", "images.example:50051", "http", False),
        ("https://other.example", "other.example", "http", False),
    ],
)
def test_whose_page_it_is(origin: str, host: str, scheme: str, own: bool) -> None:
    hosts = ours("images.example", origins=("https://app.example:8443", "*"))
    assert hosts.is_own(origin.encode(), host.encode(), scheme) is own
