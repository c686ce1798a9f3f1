"""Tokens, tickets and links in the client, against a server that asks for credentials."""

import asyncio
import logging
import pickle
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import grpc
import pytest

from conexiones import AsyncClient, Client, errors
from conexiones.sdk import NewUser, Quota, Stored, Uploaded
from conexiones.sdk.credentials import Secret
from conexiones.sdk.failures import worth_retrying
from conexiones.sdk.logins import Logins
from conexiones.sdk.resume import StateFile
from conexiones.secret_form import TICKET, TOKEN, made_of
from conexiones.testing import Server, serve
from tests.support import admin
from tests.support.kept import DECODE_SECONDS
from tests.support.waiting import DEADLINE

ALL = ("read", "write", "delete")
UNKNOWN = made_of(TOKEN, b"\7" * 32)
JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    with serve(auth="required", decode_seconds=DECODE_SECONDS) as server:
        yield server


@pytest.fixture
def client(guarded: Server) -> Iterator[Client]:
    with guarded.client() as client:
        yield client


def test_a_token_from_making_to_revoking(client: Client, guarded: Server) -> None:
    quota = Quota(stored_bytes=10**9, stored_images=7, open_uploads=2, calls_per_second=100.5)
    begun = datetime.now(UTC)
    made = client.create_token("shop", ["read", "write"], own=True, expires=timedelta(days=1), quota=quota)
    token = made.token
    assert (token.name, token.own, token.owner) == ("shop", True, "token:shop")
    assert token.scopes == {"read", "write"}
    assert token.quota == quota
    assert token.revoke_time is token.use_time is None
    assert token.create_time >= begun - timedelta(seconds=1)
    assert token.expire_time == token.create_time + timedelta(days=1)
    with Client(guarded.address, token=f" {made.secret}\n") as shop:
        access = shop.access()
        assert access == shop.limits().access
        assert (access.subject, access.scopes, access.own) == ("token:shop", {"read", "write"}, True)
        assert (access.quota, access.expire_time) == (quota, token.expire_time)
        with pytest.raises(errors.ScopeMissing) as missing:
            list(shop.tokens())
        assert missing.value.facts == {"scope": "admin"}
        assert token.id in {one.id for one in client.tokens(name="shop")}
        revoked = client.revoke_token(token.id)
        assert revoked.revoke_time is not None
        with pytest.raises(errors.TokenRevoked):
            shop.access()
    assert token.id not in {one.id for one in client.tokens()}
    assert token.id in {one.id for one in client.tokens(ended=True)}
    with pytest.raises(errors.TokenNotFound):
        client.revoke_token("nothing")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": "a b"}, "name"),
        ({"scopes": ["fly"]}, "scopes"),
        ({"scopes": []}, "scopes"),
        ({"expires": 0}, "ttl"),
        ({"expires": float("nan")}, "ttl"),
        ({"expires": timedelta(days=-1)}, "ttl"),
        ({"quota": Quota(stored_bytes=2**63)}, "quota.stored_bytes"),
        ({"quota": Quota(stored_images=-1)}, "quota.stored_images"),
    ],
)
def test_a_token_that_cannot_be_made(client: Client, wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(errors.InvalidField) as refused:
        client.create_token(**{"name": "name", "scopes": ["read"], **wrong})
    assert refused.value.field == field


def test_every_kind_of_call_shows_the_token(client: Client, photograph: bytes, tmp_path: Path) -> None:
    assert client.get_user("Ana", 3).user.pow_squared == 9
    assert client.process_image(photograph).image.format == "JPEG"
    assert client.stream_image(photograph).image.format == "JPEG"
    assert [reply.error for reply in client.image_stream([photograph])] == [None]
    assert [reply.errors for reply in client.user_stream([NewUser(name="Ana")])] == [()]
    image = client.upload(photograph)
    assert client.download(image.id) == photograph
    assert client.image(image.id).id in {one.id for one in client.images()}
    client.delete(image.id)


def test_without_a_token_every_kind_of_call_is_refused(guarded: Server, photograph: bytes) -> None:
    with Client(guarded.address) as nobody:
        for call in (
            lambda: nobody.get_user("Ana"),
            lambda: nobody.stream_image(photograph),
            lambda: list(nobody.image_stream([photograph])),
            lambda: list(nobody.user_stream([NewUser(name="Ana")])),
            lambda: nobody.upload(photograph),
            lambda: nobody.download("x"),
            lambda: list(nobody.images()),
            lambda: next(iter(nobody.watch())),
            nobody.limits,
        ):
            with pytest.raises(errors.NoCredentials):
                call()


def test_a_link_opens_an_image_for_anybody(client: Client, photograph: bytes) -> None:
    image = client.upload(photograph)
    whole = client.image_link(image.id)
    with urlopen(whole) as reply:
        assert reply.read() == photograph
    small = client.image_link(image.id, width=64, format="png", download=True, expires=60)
    with urlopen(small) as reply:
        assert reply.headers["content-type"] == "image/png"
        assert reply.headers["content-disposition"].startswith("attachment")
    path = client.image_link(image.id, base="https://images.example/").removeprefix("https://images.example")
    assert path.startswith("/images/")
    for wrong in ({"expires": timedelta(days=8)}, {"fit": "stretch"}, {"width": -1}):
        with pytest.raises(errors.InvalidField):
            client.image_link(image.id, **wrong)
    client.rotate_link_key()
    with urlopen(whole):
        pass
    assert client.rotate_link_key(end_links=True)
    with pytest.raises(HTTPError, match="401"):
        urlopen(whole)


def test_a_ticket_stores_and_does_nothing_else(
    client: Client, guarded: Server, photograph: bytes, tmp_path: Path
) -> None:
    ticket = client.create_ticket(
        max_bytes=10**6, max_images=2, formats=["JPEG"], expires=timedelta(minutes=5)
    )
    path = tmp_path / "photograph.jpg"
    path.write_bytes(photograph)
    with Client(guarded.address, token=ticket.secret) as browser:
        image = browser.upload(path, resume=True)
        assert browser.stream_image(photograph).image.format == "JPEG"
        with pytest.raises(errors.ScopeMissing):
            browser.image(image.id)
        with pytest.raises(errors.ScopeMissing):
            browser.create_ticket()
    assert client.image(image.id).name == "photograph.jpg"


def test_a_ticket_ends_early(client: Client, guarded: Server, photograph: bytes) -> None:
    ticket = client.create_ticket()
    client.revoke_token(ticket.id)
    ends = (errors.TokenRevoked, errors.TokenUnknown)  # the server soon forgets what has ended
    with Client(guarded.address, token=ticket.secret) as browser, pytest.raises(ends):
        browser.upload(photograph)


# Where the token comes from


def test_a_file_is_read_again_when_its_token_has_ended(guarded: Server, tmp_path: Path) -> None:
    file = tmp_path / "token"
    old, secret = admin.create(guarded, *ALL)
    file.write_text(f"{secret}\n")
    with Client(guarded.address, token_file=file) as client:
        assert client.access().subject == "token:somebody"
        _, new = admin.create(guarded, *ALL)
        file.write_text(new)
        admin.revoke(guarded, old)
        assert client.access().subject == "token:somebody"
        client.get_user("Ana")
        # The same token again is no other one.
        file.write_text(secret)
        with Client(guarded.address, token_file=file) as late, pytest.raises(errors.TokenRevoked):
            late.access()
        for content in ("", "nothing", UNKNOWN):
            file.write_text(content)
            assert client.access()  # what it has is good: nothing is read


@pytest.mark.parametrize("content", [b"", b"nothing", b"\xff\xfe", UNKNOWN[:-1].encode(), b"a" * 10**6])
def test_a_file_that_has_no_token(guarded: Server, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    with Client(guarded.address, token_file=file) as client:
        with pytest.raises(FileNotFoundError):
            client.access()
        file.write_bytes(content)
        with pytest.raises(errors.TokenMistyped):
            client.access()
        file.write_text(guarded.token)
        assert client.access()


def test_a_watch_goes_on_with_the_next_token_of_the_file(
    client: Client, guarded: Server, tmp_path: Path, photograph: bytes
) -> None:
    file = tmp_path / "token"
    old, secret = admin.create(guarded, "read")
    file.write_text(secret)

    def replace(_: str) -> None:
        if file.read_text() == secret:
            file.write_text(admin.create(guarded, "read")[1])
            admin.revoke(guarded, old)
            stored.append(admin.store(guarded, photograph))

    stored: list[str] = []
    with Client(guarded.address, token_file=file) as watcher:
        for event in watcher.watch(ready=replace):
            if isinstance(event, Stored):
                break
    assert stored == [event.image.id]


async def last_event(events: AsyncIterator[Any]) -> None:
    """Reads them to their end: images of other tests may still be described."""
    async for _ in events:
        pass


async def test_a_watch_ends_with_its_token(guarded: Server) -> None:
    id, secret = admin.create(guarded, "read")
    async with AsyncClient(guarded.address, token=secret) as client:

        def ready(_: str) -> None:
            admin.revoke(guarded, id)

        with pytest.raises(errors.TokenRevoked):
            await asyncio.wait_for(last_event(client.watch(ready=ready)), DEADLINE)


async def test_a_watch_ends_when_its_token_expires(guarded: Server) -> None:
    _, secret = admin.create(guarded, "read", ttl="1s")
    async with AsyncClient(guarded.address, token=secret) as client:
        with pytest.raises(errors.TokenExpired):
            await asyncio.wait_for(last_event(client.watch()), DEADLINE)


async def test_an_upload_goes_on_with_another_token(guarded: Server, tmp_path: Path, scan: bytes) -> None:
    path = tmp_path / "scan.bmp"
    path.write_bytes(scan)
    id, secret = admin.create(guarded, "write", name="scanner", own=True)
    _, other = admin.create(guarded, "write", name="scanner", own=True)
    begun: list[int] = []

    def revoke(done: int, _: int | None) -> None:
        if not begun:
            admin.revoke(guarded, id)
        begun.append(done)

    async with AsyncClient(guarded.address, token=secret) as client:
        with pytest.raises(errors.TokenRevoked):
            await client.upload(path, resume=True, progress=revoke)
    state = StateFile.of(path, None).path
    assert state.exists()
    assert secret not in state.read_text()
    resumed: list[int] = []
    async with AsyncClient(guarded.address, token=other) as client:
        await client.upload(path, resume=True, progress=lambda done, _: resumed.append(done))
    assert resumed[0] >= begun[-1] > 0
    assert not state.exists()


async def test_a_download_ends_with_its_token(guarded: Server, scan: bytes, tmp_path: Path) -> None:
    async with AsyncClient(guarded.address, token=guarded.token) as keeper:
        image = await keeper.upload(scan)
    id, secret = admin.create(guarded, "read")
    begun: list[int] = []

    def revoke(done: int, _: int | None) -> None:
        if not begun:
            admin.revoke(guarded, id)
        begun.append(done)

    target = tmp_path / "copy.bmp"
    async with AsyncClient(guarded.address, token=secret) as client:
        with pytest.raises(errors.TokenRevoked):
            await asyncio.wait_for(client.download(image.id, target, progress=revoke), DEADLINE)
    async with AsyncClient(guarded.address, token=guarded.token) as client:
        await client.download(image.id, target)
    assert target.read_bytes() == scan


def test_who_is_refused_for_guessing_waits(start: Callable[..., Server], photograph: bytes) -> None:
    """A token that is right, behind an address from which too many wrong ones came: the client waits as long
    as the server says, if its patience allows."""
    server = start(auth="required")
    calls: list[Callable[[Client], object]] = [
        lambda client: client.get_user("Ana"),
        lambda client: client.stream_image(photograph),
        lambda client: [reply.image.format for reply in client.image_stream(iter([photograph] * 9))],
        lambda client: [reply.user.name for reply in client.user_stream([NewUser(name="Ana")])],
        lambda client: client.upload(photograph),
    ]
    for call in calls:
        _, secret = admin.create(server, "write")  # unknown to that address, so it may be a guess
        with Client(server.address, token=UNKNOWN, patience=0) as guesser:
            assert refusal(guesser).retry_after > 0
        with Client(server.address, token=secret, timeout=30) as patient:
            assert call(patient)


def refusal(guesser: Client) -> errors.RateExceeded:
    """What a client gets in the end that has a wrong token."""
    while True:
        try:
            guesser.access()
        except errors.TokenUnknown:
            pass
        except errors.RateExceeded as refused:
            return refused


def test_what_waiting_helps_against() -> None:
    facts: dict[str, int | str] = {
        "limit": 1,
        "actual": 2,
        "unit": "bytes",
        "seconds": 1,
        "scope": "read",
        "format": "PNG",
    }
    for kind in (*errors.Unauthenticated.__subclasses__(), *errors.PermissionDenied.__subclasses__()):
        if kind.reason:
            assert not worth_retrying(kind(field="", **facts))
    assert worth_retrying(errors.RateExceeded(field="", **facts))
    assert not worth_retrying(errors.QuotaExceeded(field="", **facts))
    assert not worth_retrying(errors.TicketUsedUp(field="", **facts))


def test_the_environment_and_the_kept_login(guarded: Server, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(guarded.token)
    address = {"CONEXIONES_ADDRESS": guarded.address, "HOME": str(tmp_path)}

    def subject(**environ: str) -> str:
        with Client.from_environ({**address, **environ}) as client:
            return client.access().subject

    _, shop = admin.create(guarded, "read", name="shop")
    _, kept = admin.create(guarded, "read", name="kept")
    with pytest.raises(errors.NoCredentials):
        subject()
    path = Logins(address).keep(guarded.address, Secret(kept))
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert subject() == "token:kept"
    assert subject(CONEXIONES_TOKEN_FILE=str(file)) == "token:admin"
    assert subject(CONEXIONES_TOKEN_FILE=str(file), CONEXIONES_TOKEN=shop) == "token:shop"
    # A login is for one server.
    assert Client.from_environ({**address, "CONEXIONES_ADDRESS": "127.0.0.1:1"})
    assert Logins(address).find("127.0.0.1:1") is None
    assert Logins(address).forget(guarded.address)
    assert not Logins(address).forget(guarded.address)


# Where a token goes, and where it does not


class Heard(grpc.GenericRpcHandler):
    """A server that knows no call, and the credentials that came with each."""

    def __init__(self) -> None:
        self.credentials: list[str | bytes] = []

    def service(self, details: grpc.HandlerCallDetails) -> None:
        self.credentials += [value for name, value in details.invocation_metadata if name == "authorization"]


def raised(one: Uploaded) -> None:
    if one.error:
        raise one.error


@pytest.mark.parametrize("token", [UNKNOWN, made_of(TICKET, b"\1" * 32), JWT])
def test_what_is_sent_with_every_kind_of_call(token: str) -> None:
    heard = Heard()
    server = grpc.server(ThreadPoolExecutor(1), handlers=[heard])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with Client(f"127.0.0.1:{port}", token=token) as client:
            calls: list[Callable[[], object]] = [
                *(client.limits, client.rotate_link_key, lambda: client.get_user("Ana")),
                *(lambda: client.stream_image(b"x"), lambda: list(client.image_stream([b"x"]))),
                *(lambda: client.download("x"), lambda: list(client.watch()), lambda: client.upload(b"x")),
                lambda: raised(*client.upload_many([b"x"])),
            ]
            for call in calls:
                with pytest.raises(errors.Unimplemented):
                    call()
    finally:
        server.stop(None).wait()
    # What the first upload has learnt, that there is no call for small images, the second one knows.
    assert heard.credentials == [f"Bearer {token}"] * (len(calls) + 1)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    "token", ["", "x", UNKNOWN[:-1], UNKNOWN + "0", UNKNOWN.swapcase(), "a b.c.d", "\udcff"]
)
def test_a_mistyped_token_is_refused_at_once(kind: Any, token: str) -> None:
    with pytest.raises(errors.TokenMistyped):
        kind("127.0.0.1:1", token=token)


@pytest.mark.parametrize("address", ["192.0.2.1:1", "[2001:db8::1]:1", "0.0.0.0:1", "no.such.host.invalid:1"])
@pytest.mark.parametrize("shown", [{"token": UNKNOWN}, {"token": JWT}, {"token_file": "/dev/null"}])
def test_a_token_does_not_leave_the_machine_without_encryption(address: str, shown: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="without encryption") as refused:
        Client(address, **shown)
    assert UNKNOWN not in str(refused.value)
    assert Client(address, **shown, insecure_token=True)
    assert Client(address, **shown, tls=True)
    environ = {"CONEXIONES_ADDRESS": address, "CONEXIONES_TOKEN": UNKNOWN}
    with pytest.raises(ValueError, match="without encryption"):
        Client.from_environ(environ)
    assert Client.from_environ(environ | {"CONEXIONES_INSECURE_TOKEN": "1"})
    assert Client.from_environ(environ | {"CONEXIONES_TLS": "1"})


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "LocalHost", "127.1"])
def test_a_token_goes_to_this_machine(guarded: Server, name: str) -> None:
    with Client(f"{name}:{guarded.port}", token=guarded.token) as client:
        assert client.access().subject == "token:admin"


def test_a_token_never_goes_through_a_proxy_without_encryption(
    guarded: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "grpc_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")  # where nobody listens
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Client(f"localhost:{guarded.port}", token=guarded.token) as client:
        assert client.access()


def test_two_tokens_are_one_too_many() -> None:
    with pytest.raises(ValueError, match="not both"):
        Client(token=UNKNOWN, token_file="file")


def test_a_token_is_never_shown(
    guarded: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    id, secret = admin.create(guarded, "read", "admin")
    with Client(guarded.address, token=secret) as client:
        made = client.create_token("shown", ["read"])
        ticket = guarded.client().create_ticket()
        admin.revoke(guarded, id)
        with pytest.raises(errors.TokenRevoked) as refused:
            client.access()
        texts = [
            *map(repr, (client, client._client._connection.options, client._client._connection.__dict__)),
            repr(made),
            repr(ticket),
            "".join(traceback.format_exception(refused.value)),
            repr(refused.value.__dict__),
            caplog.text,
        ]
        dumped = pickle.dumps(client)
    for shown in (secret, made.secret, ticket.secret):
        assert all(shown not in text for text in texts)
        assert shown.encode() not in dumped
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(client._client._connection.options)
    # What is unpickled takes the token of its own environment.
    monkeypatch.setenv("CONEXIONES_TOKEN", guarded.token)
    with pickle.loads(dumped) as again:
        assert again.access().subject == "token:admin"


def test_a_pickled_client_knows_its_file(guarded: Server, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(guarded.token)
    with Client(guarded.address, token_file=file) as client, pickle.loads(pickle.dumps(client)) as again:
        assert again.access() == client.access()
