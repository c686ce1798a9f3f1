"""conexiones.v1.AdminService: see proto/conexiones/v1/access.proto for what each call promises."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from conexiones.domain.access import Directory, Links
from conexiones.errors import InvalidField, StorageFull, StorageUnavailable
from conexiones.gen.conexiones.v1.access_pb2 import (
    CreateTokenRequest,
    CreateTokenResponse,
    ListTokensRequest,
    ListTokensResponse,
    RevokeTokenRequest,
    RevokeTokenResponse,
    RotateLinkKeyRequest,
    RotateLinkKeyResponse,
    Token,
)
from conexiones.ports.access import Credential
from conexiones.services.access_messages import allowance, scopes, seconds, token_message
from conexiones.services.context import Context
from conexiones.whole import to_end

_PAGE, _MAX_PAGE = 100, 1000

_LINES = 100
"""Lines of the audit log that are written in one turn of the event loop: 10,000 would take it a quarter of a
second."""


class AdminService:
    def __init__(self, directory: Directory, links: Links, look: Callable[[], Awaitable[None]]) -> None:
        """`look` hears of what other servers have changed."""
        self._directory = directory
        self._links = links
        self._look = look

    async def create_token(self, request: CreateTokenRequest, call: Context, /) -> CreateTokenResponse:
        issued = await self._directory.create_token(
            request.name,
            scopes(request.scopes),
            own=request.own,
            seconds=seconds(request.ttl, field="ttl") if request.HasField("ttl") else None,
            allowance=allowance(request.quota),
        )
        call.changed("token.created", issued.credential.id)
        return CreateTokenResponse(token=self._message(issued.credential), secret=issued.secret)

    async def list_tokens(self, request: ListTokensRequest, call: Context, /) -> ListTokensResponse:
        if request.page_size < 0:
            raise InvalidField(field="page_size", takes="0 or more")
        size = min(request.page_size or _PAGE, _MAX_PAGE)
        await self._look()
        tokens = self._directory.tokens(ended=request.ended, name=request.name)
        if request.page_token:
            # Also if the last token of the page before has ended since.
            last = self._directory.place(request.page_token)
            if last is None:
                raise InvalidField(field="page_token", takes="the token of a page of the same list")
            tokens = [one for one in tokens if (one.create_time, one.id) < last]
        page = tokens[:size]
        return ListTokensResponse(
            tokens=[self._message(token) for token in page],
            next_page_token=page[-1].id if len(tokens) > size else "",
        )

    async def revoke_token(self, request: RevokeTokenRequest, call: Context, /) -> RevokeTokenResponse:
        await self._look()
        family, outcome = self._directory.family(request.id), "OK"
        try:
            credential = await self._directory.revoke(request.id)
        except (StorageFull, StorageUnavailable) as error:  # they have ended all the same
            outcome = error.reason
            raise
        finally:
            await to_end(asyncio.ensure_future(_tell(call, family, outcome)))
        return RevokeTokenResponse(token=self._message(credential))

    async def rotate_link_key(self, request: RotateLinkKeyRequest, call: Context, /) -> RotateLinkKeyResponse:
        key_id = await self._links.rotate(end_links=request.end_links)
        call.changed("link_key.created", key_id)
        if request.end_links:
            call.changed("link_key.revoked", "others")
        return RotateLinkKeyResponse(key_id=key_id)

    def _message(self, credential: Credential) -> Token:
        return token_message(credential, self._directory.allowance)


async def _tell(call: Context, family: Sequence[Credential], outcome: str) -> None:
    """Tells the audit log of credentials that have ended together."""
    for at, one in enumerate(family, 1):
        call.changed(f"{one.kind}.revoked", one.id, outcome)
        if at % _LINES == 0:
            await asyncio.sleep(0)
