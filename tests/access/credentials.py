"""What callers can show, and what they are let into with it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from pyqwest import Client

from conexiones.domain.access import TOKEN, mint
from conexiones.gen.conexiones.v1 import access_pb2, images_pb2, uploads_pb2
from conexiones.principals import SCOPES, Scope
from tests.access.table import Page
from tests.support.issuer import Issuer

IN = ""
"""The caller is let in."""

GUESSED = frozenset({"RATE_EXCEEDED"})
"""What also may be the answer to a credential that nobody has: too many of them came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A credential of a name: what a call carries of it, the scopes that it has, and the reasons of the
    errors with which it is refused if it is not good."""

    name: str
    headers: dict[str, str] = field(default_factory=dict)
    query: str = ""
    scopes: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    known: bool = True
    ticket: bool = False
    link: bool = False
    own: bool = False

    def outcomes(self, needs: str, *, ticketed: bool = False) -> frozenset[str]:
        """The reasons that a call may get which needs that, of which IN stands for none."""
        if needs == "none":
            return frozenset({IN})
        if self.refused:
            return self.refused
        if needs == "any" and (self.known or self.scopes):
            return frozenset({IN})
        if needs in self.scopes and (ticketed or not self.ticket):
            return frozenset({IN})
        return frozenset({"SCOPE_MISSING" if self.known else "NO_CREDENTIALS"})

    def outcomes_on(self, page: Page) -> frozenset[str]:
        """The same for a request of plain HTTP, where links count."""
        if self.query and page.path.startswith("/images/"):
            return frozenset({IN}) if self.link and page.linked else GUESSED | {"LINK_INVALID"}
        return self.outcomes(page.needs)


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def damaged(secret: str) -> str:
    """With two digits swapped, or one changed."""
    swapped = secret[:10] + secret[11] + secret[10] + secret[12:]
    return swapped if swapped != secret else secret[:-1] + ("0" if secret[-1] != "0" else "1")


NOBODY = Shown(name="nobody", known=False)

JWT_OF_NOBODY = Shown(
    name="a JWT of nobody", headers=bearer("e30.e30.e30"), refused=GUESSED | {"TOKEN_MISTYPED"}
)

NOT_GOOD = [
    Shown(name="wrong", headers=bearer(mint(TOKEN)), refused=GUESSED | {"TOKEN_UNKNOWN"}),
    Shown(name="mistyped", headers=bearer(damaged(mint(TOKEN))), refused=GUESSED | {"TOKEN_MISTYPED"}),
    JWT_OF_NOBODY,
    Shown(name="Basic", headers={"authorization": "Basic YTpi"}, refused=GUESSED | {"TOKEN_MISTYPED"}),
    Shown(name="empty", headers={"authorization": ""}, refused=GUESSED | {"TOKEN_MISTYPED"}),
]

NOT_GOOD_WITH_ISSUER = [
    replace(one, refused=GUESSED | {"TOKEN_UNKNOWN"}) if one is JWT_OF_NOBODY else one for one in NOT_GOOD
]
"""The same on a server that takes JWTs of an issuer."""


def jwts(issuer: Issuer) -> list[Shown]:
    """JWTs that the issuer has signed. Their holders see only what is theirs."""
    return [
        *[
            Shown(
                name=f"JWT, {scope}",
                headers=bearer(issuer.jwt(alg="ES256", scope=scope)),
                scopes=frozenset(scope.split()),
                own=True,
            )
            for scope in ("read write", "delete admin")
        ],
        Shown(
            name="JWT, expired",
            headers=bearer(issuer.jwt(alg="ES256", scope="read write", exp=1)),
            refused=GUESSED | {"TOKEN_EXPIRED", "TOKEN_UNKNOWN"},
        ),
        Shown(
            name="JWT of another issuer",
            headers=bearer(Issuer().jwt(alg="ES256", scope="read write")),
            refused=GUESSED | {"TOKEN_UNKNOWN"},
        ),
    ]


async def sessions(client: Client, url: str, token: Shown) -> list[Shown]:
    """Sessions of the page at `url` that were begun with a token: one that is good, and one that has ended,
    which is as if nothing was shown."""

    async def begun() -> dict[str, str]:
        answer = await client.execute("POST", f"{url}/session", token.headers)
        assert answer.status == 200
        return {"cookie": answer.headers["set-cookie"].partition(";")[0], "origin": url}

    good, ended = await begun(), await begun()
    assert (await client.execute("DELETE", f"{url}/session", ended)).status == 204
    return [
        replace(token, name=f"session, {token.name}", headers=good),
        Shown(name="session, ended", headers=ended, known=False),
    ]


Call = Callable[[str, Any, Any], Awaitable[Any]]
"""Makes a call of an administrator: the path, the request, and the class of the reply."""


async def made(call: Call, image: str) -> list[Shown]:
    """Credentials of every kind that a server gives out. `image` is the image of which links are signed."""

    async def token(*scopes: str, **more: Any) -> Any:
        request = access_pb2.CreateTokenRequest(
            name="caller", scopes=[f"SCOPE_{one.upper()}" for one in scopes], **more
        )
        return await call("/conexiones.v1.AdminService/CreateToken", request, access_pb2.CreateTokenResponse)

    async def shown(name: str, *scopes: Scope, **more: Any) -> Shown:
        return Shown(
            name=name, headers=bearer((await token(*scopes, **more)).secret), scopes=frozenset(scopes)
        )

    gone = await token(*SCOPES)
    revoke = access_pb2.RevokeTokenRequest(id=gone.token.id)
    await call("/conexiones.v1.AdminService/RevokeToken", revoke, access_pb2.RevokeTokenResponse)
    late = await token(*SCOPES, ttl={"nanos": 1})
    ticket = await call(
        "/conexiones.v1.UploadService/CreateTicket",
        uploads_pb2.CreateTicketRequest(),
        uploads_pb2.CreateTicketResponse,
    )
    link = await call(
        "/conexiones.v1.ImageService/SignImageUrl",
        images_pb2.SignImageUrlRequest(id=image),
        images_pb2.SignImageUrlResponse,
    )
    query = link.path.partition("?")[2]
    return [
        *[await shown(f"{scope} only", scope) for scope in SCOPES],
        await shown("all scopes", *SCOPES),
        replace(await shown("all scopes, own", *SCOPES, own=True), own=True),
        Shown(name="expired", headers=bearer(late.secret), refused=frozenset({"TOKEN_EXPIRED"})),
        Shown(name="revoked", headers=bearer(gone.secret), refused=frozenset({"TOKEN_REVOKED"})),
        Shown(name="ticket", headers=bearer(ticket.secret), scopes=frozenset({"write"}), ticket=True),
        Shown(name="link", query=query, known=False, link=True),
        Shown(name="changed link", query=query.replace("signature=", "signature=A")[:-1], known=False),
    ]
