"""Rules for certificates, with real ones: who their holders are, and what becomes of open streams."""

import asyncio
import json
import os
import signal
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from conexiones.gen.conexiones.v1.access_pb2 import Access
from conexiones.gen.conexiones.v1.images_pb2 import (
    ListImagesRequest,
    SignImageUrlRequest,
    WatchImagesRequest,
    WatchImagesResponse,
)
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.gen.conexiones.v1.uploads_pb2 import CreateTicketRequest, GetLimitsRequest
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import UploadServiceStub
from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server, serve
from tests.support.bitmaps import bitmap
from tests.support.certificates import Authority, mtls
from tests.support.failures import failure, reason
from tests.support.waiting import DEADLINE, until

IMAGE = b"".join(bitmap(20, 10))

RULES = """
[[rule]]
subject = "CN=camera-*,O=Acme"
scopes = ["read", "write"]
stored_images = 100

[[rule]]
uri = "spiffe://acme.example/backend/*"
scopes = ["read", "delete"]
owner = "token:backend"

[[rule]]
dns = "*.acme.example"
scopes = ["read"]
own = true
"""


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("ca"))
    made.sign("camera", "CN=camera-1,O=Acme")
    made.sign("other-camera", "CN=camera-2,O=Acme")
    made.sign("backend", uris=["spiffe://acme.example/backend/a"])
    made.sign("host", "CN=x", dns=["one.acme.example", "two.example"])
    # Names that hold what stands between names in the header of proxies.
    made.sign(
        "sly", "CN=x", uris=['spiffe://x;URI=spiffe://acme.example/backend/a;Subject="CN=camera-1\\,O=Acme"']
    )
    made.sign("sly-subject", 'CN=x\\"\\;Subject=\\"CN=camera-1\\,O=Acme,OU=y\\,O=Acme')
    made.sign("comma", "CN=camera-1\\,O=Acme")
    made.sign("nameless")
    return made


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    return path


@pytest.fixture
def server(start: Callable[..., Server], ca: Authority, rules: Path) -> Server:
    audit = str(rules.with_name("audit.log"))
    return start(auth="required", certificate_rules=str(rules), audit_log=audit, **mtls(ca.folder))


@pytest.fixture(scope="module")
def unchanged(ca: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same for tests that change no rules."""
    folder = tmp_path_factory.mktemp("rules")
    (folder / "rules.toml").write_text(RULES)
    rules = str(folder / "rules.toml")
    with serve(folder / "data", auth="required", certificate_rules=rules, **mtls(ca.folder)) as server:
        yield server


def called(server: Server, ca: Authority, who: str, call: Callable[[grpc.Channel], Any]) -> Any:
    with grpc.secure_channel(f"localhost:{server.port}", ca.credentials(who)) as channel:
        return call(channel)


def access(server: Server, ca: Authority, who: str, *metadata: tuple[str, str]) -> Access:
    found: Access = called(
        server,
        ca,
        who,
        lambda channel: (
            UploadServiceStub(channel)
            .GetLimits(GetLimitsRequest(), metadata=metadata, timeout=DEADLINE)
            .access
        ),
    )
    return found


def lists(server: Server, ca: Authority, who: str) -> tuple[grpc.StatusCode, str] | None:
    """What a list of images fails with; None if it does not."""
    try:
        called(
            server,
            ca,
            who,
            lambda channel: ImageServiceStub(channel).ListImages(ListImagesRequest(), timeout=DEADLINE),
        )
    except grpc.RpcError as error:
        return error.code(), reason(error)
    return None


def stored(server: Server, ca: Authority, who: str) -> str:
    request = GetUserRequest(image=IMAGE)
    return str(
        called(
            server,
            ca,
            who,
            lambda channel: UsuarioServicioStub(channel).ProcessImage(request, timeout=DEADLINE),
        ).image_info.id
    )


def test_who_has_which_certificate(unchanged: Server, ca: Authority) -> None:
    assert "certificates go by their rules" in unchanged.log
    camera = access(unchanged, ca, "camera")
    assert (camera.subject, camera.owner, camera.own) == (*["certificate:CN=camera-1,O=Acme"] * 2, False)
    assert (list(camera.scopes), camera.quota.stored_images) == ([1, 2], 100)
    backend = access(unchanged, ca, "backend")
    assert (backend.subject, backend.owner) == (
        "certificate:spiffe://acme.example/backend/a",
        "token:backend",
    )
    host = access(unchanged, ca, "host")
    assert (host.subject, host.own, list(host.scopes)) == ("certificate:one.acme.example", True, [1])
    assert lists(unchanged, ca, "camera") is None
    request = GetUserRequest(image=IMAGE)
    assert called(
        unchanged,
        ca,
        "host",
        lambda channel: failure(UsuarioServicioStub(channel).ProcessImage, request),
    ) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")


@pytest.mark.parametrize(
    ("who", "subject"),
    [
        ("sly", "CN=x"),
        ("sly-subject", 'CN=x\\"\\;Subject=\\"CN\\=camera-1\\,O\\=Acme,OU=y\\,O\\=Acme'),
        ("comma", "CN=camera-1\\,O\\=Acme"),
        ("nameless", "(without a name)"),
    ],
)
def test_who_matches_no_rule_may_do_nothing(unchanged: Server, ca: Authority, who: str, subject: str) -> None:
    found = access(unchanged, ca, who)
    assert list(found.scopes) == []
    assert found.subject.replace("\\=", "=") == f"certificate:{subject}".replace("\\=", "=")
    assert lists(unchanged, ca, who) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING")


def test_headers_change_nothing(unchanged: Server, ca: Authority) -> None:
    pem = "-----BEGIN"
    for value in ('Subject="CN=camera-1,O=Acme"', f'Hash=0;Cert="{pem}";Subject="CN=camera-1,O=Acme"'):
        found = access(unchanged, ca, "host", ("x-forwarded-client-cert", value), ("x-conexiones-jwt", "e30"))
        assert found.subject == "certificate:one.acme.example"


def test_a_token_comes_before_the_certificate(unchanged: Server, ca: Authority) -> None:
    secret = (unchanged.data_dir / "admin-token").read_text().strip()
    assert access(unchanged, ca, "nameless", ("authorization", f"Bearer {secret}")).subject == "token:admin"
    with pytest.raises(grpc.RpcError) as error:
        access(unchanged, ca, "camera", ("authorization", "Bearer cnx_wrong"))
    assert reason(error.value) == "TOKEN_MISTYPED"


def put(rules: Path, text: str | None) -> None:
    """Replaces the file with the rules, in one step, or removes it."""
    if text is None:
        rules.unlink()
    else:
        new = rules.with_suffix(".new")
        new.write_text(text)
        new.replace(rules)


@asynccontextmanager
async def watching(
    server: Server, ca: Authority, who: str
) -> AsyncIterator[grpc.aio.UnaryStreamCall[WatchImagesRequest, WatchImagesResponse]]:
    """A watch that has begun."""
    async with grpc.aio.secure_channel(f"localhost:{server.port}", ca.credentials(who)) as channel:
        watch = ImageServiceStub(channel).WatchImages(WatchImagesRequest(), timeout=DEADLINE)
        await anext(aiter(watch))
        yield watch
        watch.cancel()


async def test_whose_rights_are_taken_is_cut_off(server: Server, ca: Authority, rules: Path) -> None:
    """Within moments, on open streams as well; others go on."""
    async with watching(server, ca, "camera") as lost, watching(server, ca, "backend") as kept:
        put(rules, RULES.replace("camera-*", "camera-2"))
        os.kill(server.pid, signal.SIGHUP)
        async with asyncio.timeout(DEADLINE):
            assert await lost.code() == grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await anext(aiter(lost))
        assert reason(error.value) == "TOKEN_REVOKED"
        assert await asyncio.to_thread(lists, server, ca, "camera") == (
            grpc.StatusCode.PERMISSION_DENIED,
            "SCOPE_MISSING",
        )
        image = await asyncio.to_thread(stored, server, ca, "other-camera")
        async for event in kept:
            if image in str(event):
                break
    assert "Traceback" not in server.log


async def test_tickets_and_links_end_with_their_makers_rights(
    server: Server, ca: Authority, rules: Path
) -> None:
    def ticket(channel: grpc.Channel) -> str:
        request = CreateTicketRequest(max_bytes=1000, max_images=1)
        return str(UploadServiceStub(channel).CreateTicket(request, timeout=DEADLINE).secret)

    def link(channel: grpc.Channel) -> str:
        stub, stored = ImageServiceStub(channel), UsuarioServicioStub(channel)
        image = stored.ProcessImage(GetUserRequest(image=IMAGE), timeout=DEADLINE).image_info
        return str(stub.SignImageUrl(SignImageUrlRequest(id=image.id), timeout=DEADLINE).path)

    secret, path = called(server, ca, "camera", ticket), called(server, ca, "camera", link)
    assert opened(server, ca, path) == 200
    show = ("authorization", f"Bearer {secret}")
    assert access(server, ca, "nameless", show).owner == "certificate:CN=camera-1,O=Acme"
    put(rules, RULES.replace("camera-*", "camera-2"))
    os.kill(server.pid, signal.SIGHUP)
    await until(lambda: "The certificate rules were read again" in server.log)
    with pytest.raises(grpc.RpcError) as error:
        access(server, ca, "nameless", show)
    assert reason(error.value) == "TOKEN_REVOKED"
    assert opened(server, ca, path) == 401
    audit = rules.with_name("audit.log")
    await until(lambda: '"ticket.revoked"' in audit.read_text())
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    read = [line["object"]["id"] for line in lines if line["event"] == "certificate_rules.read"]
    assert len(set(read)) == 2
    signed, made = [line["principal"] for line in lines if line["event"] in ("link.signed", "ticket.created")]
    assert signed == made
    assert [line["event"] for line in lines if line["event"].endswith(".revoked")] == [
        "certificate.revoked",
        "ticket.revoked",
    ]


def opened(server: Server, ca: Authority, path: str) -> int:
    """The status of a link, which somebody opens who has a certificate that may do nothing."""
    context = ssl.create_default_context(cafile=str(ca.folder / "ca.pem"))
    context.load_cert_chain(ca.folder / "nameless.pem", ca.folder / "nameless.key")
    with closing(HTTPSConnection("localhost", server.port, context=context, timeout=DEADLINE)) as connection:
        connection.request("GET", path)
        return connection.getresponse().status


async def test_rules_are_read_again_when_they_change(server: Server, ca: Authority, rules: Path) -> None:
    put(rules, '[[rule]]\nsubject = "CN=x"\nscopes = ["read"]\n')
    await until(lambda: "The certificate rules were read again" in server.log)
    await until(lambda: lists(server, ca, "sly") is None)
    assert lists(server, ca, "camera") is not None


async def test_bad_rules_leave_the_old_ones_in_force(server: Server, ca: Authority, rules: Path) -> None:
    for turn, bad in enumerate(("[[rule]]\nscopes = []", "?", None), 1):
        put(rules, bad)
        os.kill(server.pid, signal.SIGHUP)
        await until(lambda: server.log.count("The old ones go on.") >= turn)  # noqa: B023 (called in this turn)
        assert str(rules) in server.log
        assert lists(server, ca, "camera") is None
        assert lists(server, ca, "nameless") is not None
    assert "Traceback" not in server.log


def test_without_rules_every_certificate_may_do_everything(
    start: Callable[..., Server], ca: Authority
) -> None:
    server = start(auth="required", **mtls(ca.folder))
    assert "every certificate of the CA may do everything: --certificate-rules says more" in server.log
    for who, name in (("camera", "CN=camera-1,O=Acme"), ("backend", "spiffe://acme.example/backend/a")):
        found = access(server, ca, who)
        assert (found.subject, list(found.scopes), found.own, found.owner) == (
            f"certificate:{name}",
            [1, 2, 3, 4],
            False,
            "",
        )
    assert access(server, ca, "nameless").subject == "certificate:(without a name)"
