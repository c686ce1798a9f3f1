"""JWTs of an issuer: which ones let callers in, in every protocol, and what becomes of open streams and of
other keys."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import grpc
import grpc.aio
import pytest
from pyqwest import Client, HTTPTransport, HTTPVersion

from conexiones.gen.conexiones.v1.access_pb2 import Access, CreateTokenRequest
from conexiones.gen.conexiones.v1.access_pb2_grpc import AdminServiceStub
from conexiones.gen.conexiones.v1.images_pb2 import WatchImagesRequest
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.gen.conexiones.v1.uploads_pb2 import GetLimitsRequest
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import UploadServiceStub
from conexiones.testing import Server, serve
from tests.support.certificates import authority, tls
from tests.support.failures import reason
from tests.support.issuer import ALGORITHMS, Issuer, encoded
from tests.support.waiting import DEADLINE, until

PATH = "/conexiones.v1.UploadService/GetLimits"


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture(scope="module")
def server(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("jwt")
    (folder / "keys.json").write_text(issuer.document())
    with serve(folder / "data", auth="required", **issuer.settings(folder / "keys.json")) as server:
        yield server


def access(server: Server, value: str | bytes) -> Access:
    """Who the server takes a caller for, by the authorization header."""
    with grpc.insecure_channel(server.address) as channel:
        call = UploadServiceStub(channel).GetLimits
        return call(GetLimitsRequest(), metadata=[("authorization", value)], timeout=DEADLINE).access


def refused(server: Server, value: str) -> str:
    with pytest.raises(grpc.RpcError) as error:
        access(server, value)
    assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED
    return reason(error.value)


def let_in(server: Server, jwt: str) -> bool:
    try:
        return access(server, f"Bearer {jwt}").subject == "jwt:ana"
    except grpc.RpcError:
        return False


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_who_has_one(server: Server, issuer: Issuer, alg: str) -> None:
    expires = int(time.time()) + 1000
    jwt = issuer.jwt(alg=alg, sub="Ana María", scope="openid read write", exp=expires)
    found = access(server, f"Bearer {jwt}")
    assert (found.subject, found.owner, found.own) == ("jwt:Ana María", "jwt:Ana María", True)
    assert list(found.scopes) == [1, 2]
    assert found.expire_time.seconds == expires


@pytest.mark.parametrize(
    "claims",
    [{"aud": ["other", "images"]}, {"iat": 1}, {"scope": None}],
    ids=["one of several audiences", "old", "no scopes"],
)
def test_what_is_good(server: Server, issuer: Issuer, claims: dict[str, Any]) -> None:
    assert let_in(server, issuer.jwt(**claims))


def test_a_clock_may_be_a_little_ahead(server: Server, issuer: Issuer) -> None:
    assert let_in(server, issuer.jwt(nbf=int(time.time()) + 20))


@pytest.mark.parametrize("scheme", ["bearer", "BEARER"])
def test_the_scheme_has_no_case(server: Server, issuer: Issuer, scheme: str) -> None:
    assert access(server, f"{scheme} {issuer.jwt()}").subject == "jwt:ana"


def _changed(jwt: str, **claims: Any) -> str:
    head, _, signature = jwt.split(".")
    return f"{head}.{encoded(json.dumps(claims).encode())}.{signature}"


def test_what_is_not_good(issuer: Issuer, start: Callable[..., Server], tmp_path: Path) -> None:
    """Each on a server where nobody has guessed too often."""
    (tmp_path / "keys.json").write_text(issuer.document())
    server = start(tmp_path / "data", auth="required", **issuer.settings(tmp_path / "keys.json"))
    later, good = int(time.time()) + 1000, issuer.jwt()
    bad = {
        "no signature": issuer.jwt(alg="none"),
        "no signature, in other words": issuer.jwt(alg="NoNe"),
        "cut": good.rpartition(".")[0] + ".",
        "the public key as a shared secret": issuer.jwt(alg="HS256"),
        "another's": Issuer().jwt(),
        "a key of its own": issuer.jwt(alg="none", header={"alg": "RS256", "jwk": Issuer().keys()[0]}),
        "changed": _changed(good, iss="https://issuer.example", aud="images", sub="root", exp=later),
        "another issuer": issuer.jwt(iss="https://other.example"),
        "no issuer": issuer.jwt(iss=None),
        "another audience": issuer.jwt(aud="other"),
        "no audience": issuer.jwt(aud=None),
        "too early": issuer.jwt(nbf=later),
        "for ever": issuer.jwt(exp=None),
        "nobody": issuer.jwt(sub=None),
        "something critical": issuer.jwt(header={"crit": ["b64"], "b64": True}),
        "no JWT": "a.b.c",
    }
    # So many wrong ones would be slowed down, as those of whoever guesses.
    assert len(bad) < 20
    for what, jwt in bad.items():
        assert refused(server, f"Bearer {jwt}") == "TOKEN_UNKNOWN", what
    assert refused(server, f"Bearer {issuer.jwt(exp=int(time.time()) - 5)}") == "TOKEN_EXPIRED"
    assert refused(server, f"Bearer {issuer.jwt(exp=int(time.time()) - 10**6)}") == "TOKEN_EXPIRED"
    for value in (f"Basic {good}", f"Bearer x Bearer {good}", f"Bearer {good} {good}"):
        assert refused(server, value) in {"TOKEN_MISTYPED", "TOKEN_UNKNOWN"}
    assert let_in(server, good)


def test_it_does_not_come_by_the_query(server: Server, issuer: Issuer) -> None:
    with grpc.insecure_channel(server.address) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            f"{PATH}?access_token={issuer.jwt()}"
        )
        with pytest.raises(grpc.RpcError):
            call(b"", timeout=DEADLINE)


def test_tokens_of_the_server_itself_pass(server: Server) -> None:
    secret = (server.data_dir / "admin-token").read_text().strip()
    assert access(server, f"Bearer {secret}").subject == "token:admin"
    assert "JWTs of https://issuer.example are taken" in server.log


def test_a_jwt_may_manage_tokens(server: Server, issuer: Issuer) -> None:
    with grpc.insecure_channel(server.address) as channel:
        made = AdminServiceStub(channel).CreateToken(
            CreateTokenRequest(name="made", scopes=["SCOPE_READ"]),
            metadata=[("authorization", f"Bearer {issuer.jwt(scope='admin')}")],
            timeout=DEADLINE,
        )
    assert access(server, f"Bearer {made.secret}").subject == "token:made"


async def test_its_end_ends_open_streams(server: Server, issuer: Issuer) -> None:
    jwt = issuer.jwt(scope="read", exp=int(time.time()) + 3)
    async with grpc.aio.insecure_channel(server.address) as channel:
        watch = ImageServiceStub(channel).WatchImages(
            WatchImagesRequest(), metadata=[("authorization", f"Bearer {jwt}")]
        )
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await asyncio.wait_for(_all(watch), DEADLINE)
    assert (error.value.code(), reason(error.value)) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED")


async def _all(stream: AsyncIterable[Any]) -> None:
    async for _ in stream:
        pass


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return authority(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="module")
def secured(issuer: Issuer, certs: Path) -> Iterator[Server]:
    (certs / "keys.json").write_text(issuer.document())
    with serve(None, auth="required", **issuer.settings(certs / "keys.json"), **tls(certs)) as server:
        yield server


@pytest.mark.parametrize("version", [HTTPVersion.HTTP1, HTTPVersion.HTTP2, HTTPVersion.HTTP3])
async def test_a_payload_that_a_client_sets_is_nothing(
    secured: Server, certs: Path, issuer: Issuer, version: HTTPVersion
) -> None:
    """In every version of HTTP, which all ask for credentials. With a JWT that is good, its own counts."""
    server = secured
    url = f"https://127.0.0.1:{server.port}{PATH}"
    forged = {"sub": "root", "scope": "admin", "exp": int(time.time()) + 1000}
    payload = encoded(json.dumps(forged).encode())
    async with HTTPTransport(tls_ca_cert=(certs / "ca.pem").read_bytes(), http_version=version) as transport:

        async def ask(**more: str) -> tuple[int, dict[str, Any]]:
            headers = {"content-type": "application/json", "x-conexiones-jwt": payload, **more}
            answer = await Client(transport).post(url, headers, b"{}")
            return answer.status, json.loads(answer.content)

        status, told = await ask()
        assert (status, told["code"]) == (401, "unauthenticated")
        status, told = await ask(authorization=f"Bearer {Issuer().jwt()}")
        assert (status, told["code"]) == (401, "unauthenticated")
        status, told = await ask(authorization=f"Bearer a.{payload}.b")
        assert status == 401
        status, told = await ask(authorization=f"Bearer {issuer.jwt()}", **{"X-Conexiones-Jwt": payload})
        assert (status, told["access"]["subject"]) == (200, "jwt:ana")


async def test_without_an_issuer_no_jwt_is_good(
    start: Callable[..., Server], issuer: Issuer, tmp_path: Path
) -> None:
    server = start(tmp_path, auth="required")
    assert refused(server, f"Bearer {issuer.jwt()}") == "TOKEN_MISTYPED"


async def test_keys_in_a_file_are_read_again(
    start: Callable[..., Server], issuer: Issuer, tmp_path: Path
) -> None:
    """By themselves, and when the server is asked to."""
    keys, second = tmp_path / "keys.json", Issuer("second")
    keys.write_text(issuer.document())
    server = start(auth="required", **issuer.settings(keys))
    assert let_in(server, issuer.jwt())
    assert refused(server, f"Bearer {second.jwt()}") == "TOKEN_UNKNOWN"

    keys.write_text(json.dumps({"keys": issuer.keys() + second.keys()}))  # the overlap of a rotation
    await until(lambda: "The JWT keys were read again" in server.log)
    await until(lambda: let_in(server, second.jwt()))
    assert let_in(server, issuer.jwt())

    keys.write_text("?")
    os.kill(server.pid, signal.SIGHUP)
    await until(lambda: "The old ones go on." in server.log)
    assert let_in(server, issuer.jwt())

    keys.write_text(second.document())
    os.kill(server.pid, signal.SIGHUP)
    await until(lambda: not let_in(server, issuer.jwt()))
    assert let_in(server, second.jwt())
    assert "Traceback" not in server.log


@contextmanager
def published(documents: list[str]) -> Iterator[str]:
    """A URL with the last of the documents; without any it answers 503."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = documents[-1].encode() if documents else b""
            self.send_response(200 if documents else 503)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = Thread(target=http.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}/keys"
        finally:
            http.shutdown()
            thread.join()


async def test_keys_of_a_url(start: Callable[..., Server], issuer: Issuer) -> None:
    """One that is out of order delays nobody else, and is asked again."""
    second = Issuer("second")
    documents: list[str] = []
    with published(documents) as url:
        server = start(auth="required", **issuer.settings(url))
        assert f"{url} answers 503. No JWT lets anybody in until they are read." in server.log
        assert refused(server, f"Bearer {issuer.jwt()}") == "TOKEN_UNKNOWN"
        for each in (issuer, second):
            documents.append(each.document())
            os.kill(server.pid, signal.SIGHUP)
            await until(partial(let_in, server, each.jwt()))
        documents.append('{"keys": []}')
        os.kill(server.pid, signal.SIGHUP)
        await until(lambda: "has no key with which a JWT could be verified" in server.log)
        assert let_in(server, second.jwt())
        assert not let_in(server, issuer.jwt())
    os.kill(server.pid, signal.SIGHUP)
    await until(lambda: "cannot be read" in server.log.rpartition("has no key")[2])
    assert let_in(server, second.jwt())
