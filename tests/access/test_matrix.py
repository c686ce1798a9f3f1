"""Who is let in: every method and path, by every way to call it, with every kind of credential, is compared
with a table that was written by hand. -s shows how many calls that are, and how long they take.

gRPC itself is called over HTTP/2 only. Sessions, JWTs, the rules of certificates and what is whose have tests
of their own.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
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
from tests.access.credentials import IN, NOBODY, NOT_GOOD, Shown, bearer, made
from tests.access.table import TABLE, Page, Row, pages
from tests.support.bitmaps import bitmap
from tests.support.certificates import authority, mtls, tls
from tests.transport.chain.every_method import methods, path_of, ways_of
from tests.transport.chain.ways import WAYS, Way

SECONDS = 60.0
AT_ONCE = 24

HTTP1, HTTP2, HTTP3 = "HTTP/1.1", "HTTP/2", "HTTP/3"
VERSIONS = {HTTP1: HTTPVersion.HTTP1, HTTP2: HTTPVersion.HTTP2, HTTP3: HTTPVersion.HTTP3}
STATUS = {"NO_CREDENTIALS": 401, "SCOPE_MISSING": 403, "RATE_EXCEEDED": 429}
"""The statuses of plain HTTP; the other refusals have 401."""

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
    """gRPC itself goes over HTTP/2, as its clients do."""
    return [version for version in versions if version == HTTP2 or not way.http2]


def rpcs(shown: list[Shown], versions: tuple[str, ...]) -> Iterator[Call]:
    for method, one in product(methods(), shown):
        for way in ways_of(method):
            for version in versions_of(way, versions):
                yield rpc(path_of(method), TABLE[path_of(method)], way, version, one)


def rpc(path: str, row: Row, way: Way, version: str, shown: Shown) -> Call:
    outcomes = shown.outcomes(row.needs, ticketed=row.ticketed)
    return Call(
        f"{path} by {way.name} over {version}: {shown.name}",
        version,
        "POST",
        f"{path}?{shown.query}" if shown.query else path,
        {**way.headers(), **shown.headers},
        way.body([row.request]),
        frozenset(row.answer if outcome == IN else outcome for outcome in outcomes),
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
    certs = authority(tmp_path / "certs")
    server = start(auth="required", **tls(certs))
    secret = (server.data_dir / "admin-token").read_text().strip()
    async with clients(certs, *VERSIONS) as found:
        call = admin(server, found[HTTP2], bearer(secret))
        image = await stored(call)
        shown = [NOBODY, *await made(call, image)]
        every = tuple(VERSIONS)
        # Those that are good come first: what has never come before is taken for a guess after wrong ones.
        for some in (shown, NOT_GOOD):
            calls = [*rpcs(some, every), *plain(pages(image), some, every)]
            await check(server, found, calls, record_property)


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


async def test_who_is_let_in_with_a_certificate(
    start: Callable[..., Server], tmp_path: Path, record_property: Record
) -> None:
    """Without rules a certificate lets into everything. Whoever also shows a token has the scopes of that."""
    certs = authority(tmp_path / "certs")
    server = start(auth="required", **mtls(certs))
    secret = (server.data_dir / "admin-token").read_text().strip()
    key, certificate = ((certs / name).read_bytes() for name in ("client.key", "client.pem"))
    versions = (HTTP1, HTTP2)
    async with clients(certs, *versions, tls_key=key, tls_cert=certificate) as found:
        call = admin(server, found[HTTP2], bearer(secret))
        image = await stored(call)
        alone = replace(NOBODY, name="a certificate", known=True, scopes=frozenset(SCOPES))
        shown = [
            one if one.known else replace(one, known=True, scopes=alone.scopes)
            for one in await made(call, image)
        ]
        for some in ([alone, *shown], NOT_GOOD):
            calls = [*rpcs(some, versions), *plain(pages(image), some, versions)]
            await check(server, found, calls, record_property)


async def stored(call: Any) -> str:
    request = GetUserRequest(image=b"".join(bitmap(20, 10)))
    reply = await call("/user.UsuarioServicio/ProcessImage", request, GetUserReply)
    return str(reply.image_info.id)
