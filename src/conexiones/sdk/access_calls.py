"""The calls of a client about tokens, tickets and links."""

from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from typing import Any, Literal

from conexiones.gen.conexiones.v1.access_pb2 import (
    CreateTokenRequest,
    ListTokensRequest,
    RevokeTokenRequest,
    RotateLinkKeyRequest,
)
from conexiones.gen.conexiones.v1.images_pb2 import SignImageUrlRequest
from conexiones.gen.conexiones.v1.uploads_pb2 import CreateTicketRequest, GetLimitsRequest
from conexiones.sdk import access, renditions, traces
from conexiones.sdk.access import Access, NewToken, Quota, Scope, Ticket, Token
from conexiones.sdk.connection import Connection
from conexiones.sdk.renditions import Rendition
from conexiones.sdk.requests import made

TOKENS_PAGE = 1000


class AccessCalls:
    """What AsyncClient has of this. Times are seconds, or a timedelta."""

    _connection: Connection

    @traces.operation
    async def access(self) -> Access | None:
        """Who this client is for the server, with its limits and its use of them; None if the server is too
        old to say. Raises an error of the branch Unauthenticated if the server does not know the client."""
        reply = await self._connection.unary(lambda link: link.uploads.GetLimits, GetLimitsRequest())
        return access.access(reply.access) if reply.HasField("access") else None

    @traces.operation
    async def create_token(
        self,
        name: str,
        scopes: Iterable[Scope],
        *,
        own: bool = False,
        expires: float | timedelta | None = None,
        quota: Quota | None = None,
    ) -> NewToken:
        """Makes a token. Its `secret` is in what this returns, and nowhere else.

        name: 1 to 64 letters, digits, and any of . _ - @ and /. Several tokens may have one name, and what is
            stored with them has one owner, so that a new one can replace an old one.
        own: it sees and touches only what was stored with a token of this name.
        expires: how long it works; None for any length of time.

        Needs the scope `admin`. Raises InvalidField, QuotaExceeded. Not retried after a lost connection,
        because that could make two.
        """
        request = made(
            CreateTokenRequest,
            name=name,
            scopes=access.scope_numbers(scopes),
            own=own,
            ttl=access.ttl(expires),
            quota=access.quota_message(quota),
        )
        reply = await self._connection.unary(lambda link: link.admin.CreateToken, request, again=False)
        return NewToken(token=access.token(reply.token), secret=reply.secret)

    @traces.iterating("tokens")
    async def tokens(self, *, name: str = "", ended: bool = False) -> AsyncIterator[Token]:
        """Tokens, newest first: optionally only those of one name, or also those that were revoked or have
        expired within the last 30 days. Needs the scope `admin`."""
        request = made(ListTokensRequest, page_size=TOKENS_PAGE, ended=ended, name=name)
        while True:
            page = await self._connection.unary(lambda link: link.admin.ListTokens, request)
            for found in page.tokens:
                yield access.token(found)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    @traces.operation
    async def revoke_token(self, id: str) -> Token:
        """Ends a token, a ticket or a session, and all that was made with it, within a second. Needs the
        scope `admin`. Raises TokenNotFound."""
        request = made(RevokeTokenRequest, id=id)
        reply = await self._connection.unary(lambda link: link.admin.RevokeToken, request)
        return access.token(reply.token)

    @traces.operation
    async def rotate_link_key(self, *, end_links: bool = False) -> str:
        """Makes a new key, with which links are signed from now on, and returns its id. With `end_links`, all
        links that were signed before end now. Needs the scope `admin`."""
        request = RotateLinkKeyRequest(end_links=end_links)
        reply = await self._connection.unary(lambda link: link.admin.RotateLinkKey, request)
        return str(reply.key_id)

    @traces.operation
    async def image_link(
        self,
        id: str,
        *,
        width: int | None = None,
        height: int | None = None,
        fit: Literal["inside", "cover", "contain"] | None = None,
        format: Literal["jpeg", "png", "webp", "avif"] | None = None,
        quality: int | None = None,
        animated: bool = False,
        keep_profile: bool = False,
        download: bool = False,
        expires: float | timedelta | None = None,
        base: str | None = None,
    ) -> str:
        """A link that opens this image without a credential, or with any of the options of a Rendition that
        rendition of it, until it expires or the token that signed it ends.

        download: browsers save the image instead of showing it.
        expires: how long it works, at most seven days; by default an hour.
        base: what stands before "/images/", such as "https://images.example". By default the client's
            address, with https if the client uses TLS.

        Needs the scope `read`. Raises ImageNotFound, InvalidField.
        """
        asked: dict[str, Any] = {
            "width": width,
            "height": height,
            "fit": fit,
            "format": format,
            "quality": quality,
            "animated": animated,
            "keep_profile": keep_profile,
        }
        wanted = renditions.message(Rendition(**asked)) if any(asked.values()) else None
        request = made(
            SignImageUrlRequest, id=id, rendition=wanted, download=download, ttl=access.ttl(expires)
        )
        reply = await self._connection.unary(lambda link: link.images.SignImageUrl, request)
        options = self._connection.options
        before = base or f"{'https' if options.encrypted else 'http'}://{self._connection.address}"
        return f"{before.rstrip('/')}{reply.path}"

    @traces.operation
    async def create_ticket(
        self,
        *,
        max_bytes: int = 0,
        max_images: int = 1,
        formats: Iterable[str] = (),
        expires: float | timedelta | None = None,
        owner: str = "",
    ) -> Ticket:
        """Makes a ticket, with which somebody else may store images and do nothing else.

        max_bytes: the bytes of all images together; 0 for the size of the largest image.
        formats: those that the images may have, such as "JPEG"; none for all that the server accepts.
        expires: how long it works, at most a day; by default an hour. It ends with this client's token.
        owner: to whom the images belong; by default to the owner of what this client stores.

        Needs the scope `write`. Raises InvalidField, QuotaExceeded.
        """
        request = made(
            CreateTicketRequest,
            ttl=access.ttl(expires),
            max_bytes=max_bytes,
            max_images=max_images,
            formats=[formats] if isinstance(formats, str) else list(formats),
            owner=owner,
        )
        reply = await self._connection.unary(lambda link: link.uploads.CreateTicket, request)
        return access.ticket(reply)
