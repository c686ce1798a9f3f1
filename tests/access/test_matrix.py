"""Who is let in: every method and path, by every way to call it, with every kind of credential, is compared
with a table that was written by hand. -s shows how many calls that are, and how long they take.

gRPC itself is called over HTTP/2 and HTTP/3. Every method over all versions is for `make faults`. What pages
of other origins may call, and what is whose, have tests of their own.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from pyqwest import Client, HTTPTransport, HTTPVersion

from conexiones.gen.user_pb2 import GetUserReply, GetUserRequest
from conexiones.principals import SCOPES
from conexiones.testing import Server
from tests.access.answers import reason
from tests.access.credentials import (
    IN,
    NOBODY,
    NOT_GOOD,
    NOT_GOOD_WITH_ISSUER,
    Shown,
    bearer,
    jwts,
    made,
    sessions,
)
from tests.access.table import TABLE, Page, Row, pages
from tests.support.bitmaps import bitmap
from tests.support.certificates import Authority, authority, mtls, tls
from tests.support.issuer import Issuer
from tests.support.lengths import EVERY_STEP
from tests.transport.chain.every_method import methods, path_of, ways_of
from tests.transport.chain.ways import WAYS, Way

SECONDS = 60.0
AT_ONCE = 24

HTTP1, HTTP2, HTTP3 = "HTTP/1.1", "HTTP/2", "HTTP/3"
VERSIONS = {HTTP1: HTTPVersion.HTTP1, HTTP2: HTTPVersion.HTTP2, HTTP3: HTTPVersion.HTTP3}
STATUS = {"NO_CREDENTIALS": 401, "SCOPE_MISSING": 403, "RATE_EXCEEDED": 429}
"""The statuses of plain HTTP; the other refusals have 401."""

SAMPLE = {
    "/user.UsuarioServicio/GetUser",
    "/user.UsuarioServicio/ProcessImage",
    "/conexiones.v1.UploadService/GetLimits",
    "/conexiones.v1.ImageService/ListImages",
    "/conexiones.v1.ImageService/DeleteImage",
    "/conexiones.v1.AdminService/ListTokens",
    "/grpc.health.v1.Health/Check",
}
"""A method of each need, with a ticket and without."""

Clients = Mapping[str, Client]


@dataclass(frozen=True, slots=True)
class Call:
    """A call, and the answers that it may have: reasons, or statuses of plain HTTP."""

    name: str
    version: str
    verb: str
    path: str
    headers: dict[str, str]
    body: bytes
    allowed: frozenset[str | int]
    endless: bool = False
    plain: bool = False


@asynccontextmanager
async def clients(certs: Path, *versions: str, **more: Any) -> AsyncIterator[Clients]:
    ca = (certs / "ca.pem").read_bytes()
    async with AsyncExitStack() as stack:
        found = {}
        for version in versions:
            transport: Any = HTTPTransport(tls_ca_cert=ca, http_version=VERSIONS[version], **more)
            found[version] = Client(await stack.enter_async_context(transport))
        yield found


def versions_of(way: Way, versions: tuple[str, ...]) -> list[str]:
    """gRPC itself is not called over HTTP/1.1, as its clients do not."""
    return [version for version in versions if version != HTTP1 or not way.http2]


def rpcs(shown: list[Shown], versions: tuple[str, ...]) -> Iterator[Call]:
    for method, one in product(methods(), shown):
        for way in ways_of(method):
            for version in versions_of(way, versions):
                yield rpc(path_of(method), TABLE[path_of(method)], way, version, one)


def rpc(path: str, row: Row, way: Way, version: str, shown: Shown) -> Call:
    outcomes = shown.outcomes(row.needs, ticketed=row.ticketed)
    allowed = {row.answer if outcome == IN else outcome for outcome in outcomes}
    if IN in outcomes and way.http2 and version == HTTP3:
        # This client has no trailers over HTTP/3, in which gRPC says how a call ended. Whoever is refused is
        # told so in the headers.
        allowed.add("no status")
    return Call(
        f"{path} by {way.name} over {version}: {shown.name}",
        version,
        "POST",
        f"{path}?{shown.query}" if shown.query else path,
        {**way.headers(), **shown.headers},
        way.body([row.request]),
        frozenset(allowed),
        endless=row.endless,
    )


def plain(found: list[Page], shown: list[Shown], versions: tuple[str, ...]) -> Iterator[Call]:
    for page, one, version in product(found, shown, versions):
        joint = "&" if "?" in page.path else "?"
        yield Call(
            f"{page.verb} {page.path} over {version}: {one.name}",
            version,
            page.verb,
            f"{page.path}{joint}{one.query}" if one.query else page.path,
            one.headers,
            b"",
            frozenset(
                page.status_for(own=one.own) if outcome == IN else STATUS.get(outcome, 401)
                for outcome in one.outcomes_on(page)
            ),
            plain=True,
        )


async def answers(server: Server, found: Clients, calls: list[Call]) -> list[tuple[Call, str | int]]:
    """The calls whose answers are none of those that they may have."""
    turns = asyncio.Semaphore(AT_ONCE)
    wrong: list[tuple[Call, str | int]] = []

    async def one(call: Call) -> None:
        url = f"https://127.0.0.1:{server.port}{call.path}"
        async with turns, asyncio.timeout(SECONDS):
            client = found[call.version]
            async with client.stream(call.verb, url, call.headers, call.body or None) as response:
                got = response.status if call.plain else await reason(response, endless=call.endless)
        if got not in call.allowed:
            wrong.append((call, got))

    async with asyncio.TaskGroup() as tasks:
        for call in calls:
            tasks.create_task(one(call))
    return wrong


async def check(
    server: Server, found: Clients, calls: list[Call], record: Callable[[str, object], None]
) -> None:
    begin = time.monotonic()
    wrong = await answers(server, found, calls)
    print(f"{len(calls)} calls in {time.monotonic() - begin:.1f} s")
    record("calls", len(calls))
    assert not wrong, f"{len(wrong)} of {len(calls)}: " + "; ".join(
        f"{call.name} got {got!r}, not {sorted(map(str, call.allowed))}" for call, got in wrong[:20]
    )


def admin(server: Server, client: Client, headers: dict[str, str]) -> Any:
    """What calls as the administrator, and gives the reply."""
    way = WAYS[4]

    async def call(path: str, request: Message, reply: Any) -> Any:
        url = f"https://127.0.0.1:{server.port}{path}"
        answer = await client.execute("POST", url, {**way.headers(), **headers}, way.body([request]))
        assert answer.status == 200, bytes(answer.content)
        return reply.FromString(bytes(answer.content))

    return call


def test_the_table_has_every_method() -> None:
    assert TABLE.keys() == {path_of(method) for method in methods()}


Record = Callable[[str, object], None]


async def test_who_is_let_in(start: Callable[..., Server], tmp_path: Path, record_property: Record) -> None:
    certs, issuer, keys = authority(tmp_path / "certs"), Issuer(), tmp_path / "keys.json"
    keys.write_text(issuer.document())
    server = start(auth="required", **issuer.settings(keys), **tls(certs))
    secret = (server.data_dir / "admin-token").read_text().strip()
    async with clients(certs, *VERSIONS) as found:
        call = admin(server, found[HTTP2], bearer(secret))
        image = await stored(call)
        tokens = await made(call, image)
        reader = next(one for one in tokens if one.name == "read only")
        page = await sessions(found[HTTP1], f"https://127.0.0.1:{server.port}", reader)
        every = tuple(VERSIONS)
        # Those that are good come first: what has never come before is taken for a guess after wrong ones.
        *good, expired, foreign = jwts(issuer)
        for some in ([NOBODY, *tokens, *page, *good], [*NOT_GOOD_WITH_ISSUER, expired, foreign]):
            calls = [*rpcs(some, every if EVERY_STEP else (HTTP2,)), *plain(pages(image), some, every)]
            if not EVERY_STEP:
                # Who is let in does not depend on the version together with the method.
                calls += sampled(rpcs(some, (HTTP1, HTTP3)))
            await check(server, found, calls, record_property)


def sampled(calls: Iterable[Call]) -> list[Call]:
    return [call for call in calls if call.path.partition("?")[0] in SAMPLE]


async def test_who_is_let_in_without_a_credential(
    start: Callable[..., Server], tmp_path: Path, record_property: Record
) -> None:
    """A public gallery: nobody may read. Whoever shows something has the scopes of that, and no others."""
    certs = authority(tmp_path / "certs")
    server = start(auth="required", anonymous_scopes="read", **tls(certs))
    secret = (server.data_dir / "admin-token").read_text().strip()
    async with clients(certs, *VERSIONS) as found:
        call = admin(server, found[HTTP2], bearer(secret))
        image = await stored(call)
        anybody = Shown(name="anybody", known=False, scopes=frozenset({"read"}))
        shown = [
            replace(one, scopes=anybody.scopes) if not one.known else one for one in await made(call, image)
        ]
        for some in ([anybody, *shown], NOT_GOOD):
            calls = [*rpcs(some, (HTTP2,)), *plain(pages(image), some, tuple(VERSIONS))]
            await check(server, found, calls, record_property)


async def test_a_server_that_asks_nobody_lets_everybody_in(
    start: Callable[..., Server], tmp_path: Path, record_property: Record
) -> None:
    """Also with what would be refused elsewhere; but a link is what it says, or nothing."""
    certs = authority(tmp_path / "certs")
    server = start(auth="none", **tls(certs))
    async with clients(certs, *VERSIONS) as found:
        call = admin(server, found[HTTP2], {})
        image = await stored(call)
        everything: dict[str, Any] = {
            "scopes": frozenset(SCOPES),
            "refused": frozenset(),
            "ticket": False,
            "own": False,
        }
        shown = [replace(one, **everything) for one in (NOBODY, *NOT_GOOD, *await made(call, image))]
        calls = [*rpcs(shown, (HTTP2,)), *plain(pages(image), shown, tuple(VERSIONS))]
        await check(server, found, calls, record_property)


RULES = """
[[rule]]
subject = "CN=client"
scopes = ["read", "write", "delete", "admin"]

[[rule]]
subject = "CN=reader"
scopes = ["read"]
"""


async def test_who_is_let_in_with_a_certificate(
    start: Callable[..., Server], tmp_path: Path, record_property: Record
) -> None:
    """By the rules, and without rules into everything. Whoever also shows a token has the scopes of that: it
    does not depend on the method, so that is tried with a sample of them."""
    ca, rules = Authority(tmp_path / "certs"), tmp_path / "rules.toml"
    rules.write_text(RULES)
    scopes: dict[str, frozenset[str]] = {
        "client": frozenset(SCOPES),
        "reader": frozenset({"read"}),
        "stranger": frozenset(),
    }
    versions = (HTTP1, HTTP2)
    async with AsyncExitStack() as stack:
        holders = {}
        for name in scopes:
            files = ca.sign(name, f"CN={name}")
            pair = {key: file.read_bytes() for key, file in zip(("tls_cert", "tls_key"), files, strict=True)}
            holders[name] = await stack.enter_async_context(clients(ca.folder, *versions, **pair))
        server = start(tmp_path / "rules", auth="required", certificate_rules=str(rules), **mtls(ca.folder))
        call = admin(server, holders["client"][HTTP2], {})
        image = await stored(call)
        for name, found in holders.items():
            alone = [replace(NOBODY, name=f"certificate of {name}", known=True, scopes=scopes[name])]
            calls = [*rpcs(alone, versions), *plain(pages(image), alone, versions)]
            await check(server, found, calls, record_property)
        tokens = [
            one if one.known else replace(one, known=True, scopes=scopes["reader"])
            for one in await made(call, image)
        ]
        for some in (tokens, NOT_GOOD):
            calls = [*sampled(rpcs(some, versions)), *plain(pages(image), some, versions)]
            await check(server, holders["reader"], calls, record_property)
        server = start(tmp_path / "data", auth="required", **mtls(ca.folder))
        image = await stored(admin(server, holders["stranger"][HTTP2], {}))
        alone = [replace(NOBODY, name="any certificate", known=True, scopes=frozenset(SCOPES))]
        calls = [*rpcs(alone, versions), *plain(pages(image), alone, versions)]
        await check(server, holders["stranger"], calls, record_property)


async def stored(call: Any) -> str:
    request = GetUserRequest(image=b"".join(bitmap(20, 10)))
    reply = await call("/user.UsuarioServicio/ProcessImage", request, GetUserReply)
    return str(reply.image_info.id)
