"""Only the credential says who calls: no other header does, and no other form or place of a credential."""

import itertools
import socket
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection

import pytest

from conexiones.domain.access import TOKEN, mint
from conexiones.testing import Server, serve
from tests.support.waiting import DEADLINE

ADMIN = b"/conexiones.v1.AdminService/ListTokens"
LIMITS = b"/conexiones.v1.UploadService/GetLimits"
IMAGE = b"/images/none"

Headers = list[tuple[bytes, bytes]]

_numbers = itertools.count()

SUBJECT = b'Hash=0;Subject="CN=admin";URI=spiffe://admin'
SPOOFED = [
    (b"x-forwarded-client-cert", SUBJECT),
    (b"X-Forwarded-Client-Cert", b'By=x;Subject="CN=a",' + SUBJECT),
    (b"x-forwarded-for", b"127.0.0.1"),
    (b"x-forwarded-user", b"admin"),
    (b"x-forwarded-proto", b"https"),
    (b"x-forwarded-host", b"localhost"),
    (b"x-forwarded-uri", b"/"),
    (b"x-real-ip", b"127.0.0.1"),
    (b"forwarded", b"for=127.0.0.1"),
    (b"x-envoy-internal", b"true"),
    (b"x-envoy-external-address", b"127.0.0.1"),
    (b"x-envoy-original-path", b"/grpc.health.v1.Health/Check"),
    (b"x-envoy-original-method", b"GET"),
    (b"x-envoy-peer-metadata", b"admin"),
    (b"x-envoy-decorator-operation", b"admin"),
    (b"x-envoy-jwt-payload", b"eyJzdWIiOiJhZG1pbiJ9"),
    (b"x-original-url", b"/"),
    (b"x-rewrite-url", b"/"),
    (b"x-http-method-override", b"GET"),
    (b"x-conexiones-connection", b"1"),
    (b"x-conexiones-jwt", b"eyJzdWIiOiJhZG1pbiIsInNjb3BlIjoiYWRtaW4ifQ"),
    (b"x-conexiones-principal", b"admin"),
    (b"x-jwt-payload", b"eyJzdWIiOiJhZG1pbiIsInNjb3BlIjoiYWRtaW4ifQ"),
    (b"ssl-client-s-dn", b"CN=admin"),
    (b"remote-user", b"admin"),
    (b"from", b"admin@example.com"),
    (b"grpc-internal-encoding-request", b"admin"),
]
"""Headers in which proxies tell who calls, or what they have changed."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("access") / "data", auth="required") as server:
        yield server


@pytest.fixture(scope="module")
def admin(server: Server) -> bytes:
    secret = (server.data_dir / "admin-token").read_bytes().strip()
    assert asked(server, [(b"authorization", b"Bearer " + secret)]) == 200
    return secret


def sent(server: Server, request: bytes) -> tuple[int, bytes]:
    """The status and the whole answer to a request of HTTP/1.1, as bytes. Each comes from another address:
    from one, only a few may show what is wrong."""
    number = next(_numbers)
    source = f"127.1.{number // 250}.{1 + number % 250}"
    address = ("127.0.0.1", server.port)
    with closing(socket.create_connection(address, DEADLINE, source_address=(source, 0))) as line:
        line.sendall(request)
        answer = b"".join(iter(lambda: line.recv(1 << 16), b""))
    return int(answer.split(b" ", 2)[1]), answer


def request(path: bytes, headers: Headers, verb: bytes = b"POST") -> bytes:
    body = b"" if verb == b"GET" else b"{}"
    lines = [verb + b" " + path + b" HTTP/1.1", b"host: 127.0.0.1", b"connection: close"]
    lines += [b"content-type: application/json", b"content-length: %d" % len(body)]
    lines += [name + b":" + value for name, value in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def asked(
    server: Server, headers: list[tuple[bytes, bytes]], path: bytes = LIMITS, verb: bytes = b"POST"
) -> int:
    return sent(server, request(path, headers, verb))[0]


@pytest.mark.parametrize("header", SPOOFED, ids=lambda one: one[0].decode())
def test_no_other_header_says_who_calls(server: Server, admin: bytes, header: tuple[bytes, bytes]) -> None:
    for path, verb in ((LIMITS, b"POST"), (ADMIN, b"POST"), (IMAGE, b"GET")):
        status, answer = sent(server, request(path, [header], verb))
        assert (status, b"www-authenticate: Bearer" in answer) == (401, verb == b"GET"), (header, path)
        assert asked(server, [header, (b"authorization", b"Bearer " + admin)], path, verb) in (200, 404)


def test_two_credentials_are_none(server: Server, admin: bytes) -> None:
    """Which of them counts is not for the server to choose."""
    good, bad = b"Bearer " + admin, b"Bearer " + mint(TOKEN).encode()
    for one, two in ((good, bad), (bad, good), (good, good), (good, b"Basic YTpi")):
        assert asked(server, [(b"authorization", one), (b"Authorization", two)]) == 401, (one, two)
        assert asked(server, [(b"authorization", one + b", " + two)]) == 401, (one, two)
        assert asked(server, [(b"authorization", one + b"," + two)]) == 401, (one, two)


def test_other_spellings_of_the_same(server: Server, admin: bytes) -> None:
    for name in (b"authorization", b"Authorization", b"AUTHORIZATION", b"aUtHoRiZaTiOn"):
        for value in (b"Bearer %b", b"bearer %b", b"BEARER %b", b"  Bearer %b", b"\tBearer %b \t"):
            assert asked(server, [(name, value % admin)]) == 200, (name, value)


@pytest.mark.parametrize(
    "value",
    [
        b"Bearer",
        b"Bearer ",
        b"%b",
        b"Bearer  %b",
        b"Bearer\t%b",
        b"Bearer:%b",
        b"Bearer=%b",
        b'Bearer "%b"',
        b"Bearer %b;",
        b"Bearer %b %b",
        b"Token %b",
        b"Basic %b",
        b"Bearer Bearer %b",
        b"Bearer token=%b",
        b"Bearer %b" + b"0" * 16_384,
        b"Bearer " + b"a" * 16_384,
    ],
    ids=lambda value: value[:20].decode(),
)
def test_other_forms_are_none(server: Server, admin: bytes, value: bytes) -> None:
    assert asked(server, [(b"authorization", value.replace(b"%b", admin))]) in (401, 429, 431)


@pytest.mark.parametrize(
    "value",
    [b"Bearer %b\0", b"\0Bearer %b", b"Bearer %b\r\n folded", b"Bearer %b\xff", b"Bearer \xc3\xa9%b"],
    ids=repr,
)
def test_what_no_header_may_have_is_refused(server: Server, admin: bytes, value: bytes) -> None:
    header = (b"authorization", value.replace(b"%b", admin))
    for path, verb in ((LIMITS, b"POST"), (IMAGE, b"GET")):
        assert asked(server, [header], path, verb) in (400, 401, 429)


def test_no_other_place_has_a_credential(server: Server, admin: bytes) -> None:
    for name in (b"authorization", b"access_token", b"token", b"key"):
        query = b"?" + name + b"=Bearer%20" + admin
        assert asked(server, [], LIMITS + query) == 401, name
        assert asked(server, [], IMAGE + query, b"GET") == 401, name
        assert asked(server, [], IMAGE + b"?" + name + b"=" + admin, b"GET") == 401, name
        assert asked(server, [(b"cookie", name + b"=" + admin)]) == 401, name
    for name in (b"proxy-authorization", b"x-authorization", b"x-api-key", b"authorization-bin"):
        assert asked(server, [(name, b"Bearer " + admin)]) == 401, name
    host = b"127.0.0.1"
    absolute = b"POST http://x:" + admin + b"@" + host + LIMITS + b" HTTP/1.1\r\nhost: " + host
    answer = sent(server, absolute + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    assert answer[0] in (400, 401, 415, 421)


def test_trailers_have_no_credential(server: Server, admin: bytes) -> None:
    head = [b"POST " + LIMITS + b" HTTP/1.1", b"host: 127.0.0.1", b"content-type: application/json"]
    head += [b"transfer-encoding: chunked", b"trailer: authorization", b"connection: close"]
    body = b"2\r\n{}\r\n0\r\nauthorization: Bearer " + admin + b"\r\n\r\n"
    assert sent(server, b"\r\n".join(head) + b"\r\n\r\n" + body)[0] == 401


def test_thousands_of_guesses_over_the_wire(server: Server, admin: bytes) -> None:
    """They let nobody in, are slowed down, and do not lock out who was in before."""
    seen = set()
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)) as line:
        for number in range(3000):
            guess = bytearray(admin if number % 2 else mint(TOKEN).encode())
            guess[4 + number % 49] ^= 1
            headers = {"content-type": "application/json", "authorization": f"Bearer {guess.decode()}"}
            line.request("POST", LIMITS.decode(), b"{}", headers)
            answer = line.getresponse()
            answer.read()
            seen.add(answer.status)
    assert seen <= {401, 429}
    assert 429 in seen
    assert asked(server, [(b"authorization", b"Bearer " + admin)]) == 200
