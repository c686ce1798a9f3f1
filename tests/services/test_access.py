"""Who may call, on a server that asks for credentials: tokens, scopes, links, and how open calls end."""

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from email.message import Message
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import grpc
import grpc.aio
import pytest
from google.rpc.error_details_pb2 import ErrorInfo

from conexiones.domain.access import TOKEN, mint
from conexiones.gen.conexiones.v1.access_pb2 import (
    CreateTokenRequest,
    ListTokensRequest,
    RevokeTokenRequest,
    RotateLinkKeyRequest,
)
from conexiones.gen.conexiones.v1.access_pb2_grpc import AdminServiceStub
from conexiones.gen.conexiones.v1.images_pb2 import (
    DeleteImageRequest,
    GetImageRequest,
    SignImageUrlRequest,
    WatchImagesRequest,
)
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.gen.conexiones.v1.uploads_pb2 import GetLimitsRequest
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import UploadServiceStub
from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server
from tests.support.bitmaps import bitmap
from tests.support.failures import detail, reason
from tests.support.waiting import DEADLINE

IMAGE = b"".join(bitmap(20, 10))


class Callers:
    """Calls a server, each time with the secret that is given."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.address = server.address
        self.admin = (folder / "admin-token").read_text().strip()
        self.channel = grpc.insecure_channel(server.address)

    def call(self, stub: Any, method: str, request: Any, secret: str | None) -> Any:
        metadata = [] if secret is None else [("authorization", f"Bearer {secret}")]
        return getattr(stub(self.channel), method)(request, metadata=metadata, timeout=DEADLINE)

    def token(self, *scopes: str, **more: Any) -> tuple[str, str]:
        """The id and the secret of a new token."""
        values: dict[str, Any] = {"name": "somebody", "scopes": [f"SCOPE_{one}" for one in scopes], **more}
        request = CreateTokenRequest(**values)
        made = self.call(AdminServiceStub, "CreateToken", request, self.admin)
        return made.token.id, made.secret

    def limits(self, secret: str | None) -> Any:
        return self.call(UploadServiceStub, "GetLimits", GetLimitsRequest(), secret)

    def image(self) -> str:
        request = GetUserRequest(image=IMAGE)
        return str(self.call(UsuarioServicioStub, "ProcessImage", request, self.admin).image_info.id)

    def link(self, **more: Any) -> str:
        request = SignImageUrlRequest(**more)
        return str(self.call(ImageServiceStub, "SignImageUrl", request, self.admin).path)


@pytest.fixture
def callers(sharing: Callable[..., Server]) -> Iterator[Callers]:
    server = sharing(auth="required")
    made = Callers(server, server.data_dir)
    with made.channel:
        yield made


@pytest.fixture
def alone(start: Callable[..., Server]) -> Iterator[Callers]:
    """The same of a server of its own, for a test that guesses, which is slowed down, or that counts."""
    server = start(auth="required")
    made = Callers(server, server.data_dir)
    with made.channel:
        yield made


def fetched(address: str, path: str) -> tuple[int, Message, bytes]:
    """The status, the headers and the body that plain HTTP gives."""
    host, _, port = address.rpartition(":")
    with closing(HTTPConnection(host, int(port), timeout=DEADLINE)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def refused(call: Callable[..., Any], *given: Any) -> str:
    with pytest.raises(grpc.RpcError) as error:
        call(*given)
    return reason(error.value)


def test_who_has_which_secret(callers: Callers) -> None:
    assert refused(callers.limits, None) == "NO_CREDENTIALS"
    assert refused(callers.limits, callers.admin[:-1]) == "TOKEN_MISTYPED"
    assert refused(callers.limits, mint(TOKEN)) == "TOKEN_UNKNOWN"
    assert callers.limits(callers.admin).access.subject == "token:admin"
    token, secret = callers.token("READ", own=True)
    access = callers.limits(secret).access
    assert (access.subject, access.own, list(access.scopes)) == ("token:somebody", True, [1])
    callers.call(AdminServiceStub, "RevokeToken", RevokeTokenRequest(id=token), callers.admin)
    assert refused(callers.limits, secret) == "TOKEN_REVOKED"
    _, secret = callers.token("READ", ttl={"nanos": 1})
    assert refused(callers.limits, secret) == "TOKEN_EXPIRED"
    unknown = RevokeTokenRequest(id="0")
    assert refused(callers.call, AdminServiceStub, "RevokeToken", unknown, callers.admin) == "TOKEN_NOT_FOUND"


def test_scopes(callers: Callers) -> None:
    image = callers.image()
    _, reader = callers.token("READ")
    assert callers.call(ImageServiceStub, "GetImage", GetImageRequest(id=image), reader).image.id == image
    with pytest.raises(grpc.RpcError) as error:
        callers.call(ImageServiceStub, "DeleteImage", DeleteImageRequest(id=image), reader)
    info = detail(error.value, ErrorInfo())
    assert (info.reason, info.metadata["scope"]) == ("SCOPE_MISSING", "delete")


def test_whoever_guesses_is_slowed_down(alone: Callers) -> None:
    def slowed_down() -> bool:
        """What was right before goes on; what was not used yet may be a guess. That is let in if a wrong one
        was forgotten at this moment."""
        _, fresh = alone.token("READ")
        while (said := refused(alone.limits, mint(TOKEN))) != "RATE_EXCEEDED":
            assert said == "TOKEN_UNKNOWN"
        assert alone.limits(alone.admin)
        try:
            alone.limits(fresh)
        except grpc.RpcError as error:
            return reason(error) == "RATE_EXCEEDED"
        return False

    assert any(slowed_down() for _ in range(5))


def test_a_link_opens_one_image_as_it_was_signed(alone: Callers) -> None:
    image, other = alone.image(), alone.image()
    link = alone.link(id=image)
    status, _, body = fetched(alone.address, link)
    assert (status, body) == (200, IMAGE)
    path, _, query = link.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    changed = [
        f"/images/{other}?{query}",
        f"{link}&width=8",
        f"{path}?{urlencode([(name, value[:-1] if name == 'expires' else value) for name, value in pairs])}",
        *(f"{path}?{urlencode([pair for pair in pairs if pair[0] != name])}" for name, _ in pairs[:-1]),
        f"{link}A",
    ]
    for one in changed:
        status, _, body = fetched(alone.address, one)
        assert (status, json.loads(body)["reason"]) == (401, "LINK_INVALID"), one
    status, headers, body = fetched(alone.address, path)
    assert (status, b"NO_CREDENTIALS" in body) == (401, True)
    assert headers["www-authenticate"].startswith("Bearer")


def test_a_link_ends(callers: Callers) -> None:
    """By its time, and with the token that signed it."""
    image = callers.image()
    token, secret = callers.token("READ", ttl={"seconds": 1000})
    link = callers.call(ImageServiceStub, "SignImageUrl", SignImageUrlRequest(id=image), secret).path
    assert fetched(callers.address, link)[0] == 200
    callers.call(AdminServiceStub, "RevokeToken", RevokeTokenRequest(id=token), callers.admin)
    status, _, body = fetched(callers.address, link)
    assert (status, b"TOKEN_REVOKED" in body) == (401, True)
    short, refusal = callers.link(id=image, ttl={"seconds": 1}), b""
    while not refusal:
        with suppress(HTTPException, ConnectionError):  # an answer under way is broken off
            status, _, body = fetched(callers.address, short)
            refusal = body if status == 401 else b""
    assert json.loads(refusal)["reason"] == "LINK_EXPIRED"


async def test_an_open_stream_ends_with_its_token(callers: Callers) -> None:
    token, secret = callers.token("READ")
    async with grpc.aio.insecure_channel(callers.address) as channel:
        metadata = [("authorization", f"Bearer {secret}")]
        watch = ImageServiceStub(channel).WatchImages(WatchImagesRequest(), metadata=metadata)
        await anext(aiter(watch))
        revoke = RevokeTokenRequest(id=token)
        await asyncio.to_thread(callers.call, AdminServiceStub, "RevokeToken", revoke, callers.admin)
        async with asyncio.timeout(DEADLINE):
            assert await watch.code() == grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await anext(aiter(watch))
    assert reason(error.value) == "TOKEN_REVOKED"


def test_a_download_that_a_link_has_opened_ends_with_the_link(alone: Callers) -> None:
    request = GetUserRequest(image=b"".join(bitmap(4000, 1500)))
    image = alone.call(UsuarioServicioStub, "ProcessImage", request, alone.admin).image_info
    link, host = alone.link(id=image.id), alone.address.rpartition(":")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)  # so that little is on its way
        connection.settimeout(DEADLINE)
        connection.connect((host[0], int(host[2])))
        connection.sendall(f"GET {link} HTTP/1.1\r\nHost: {alone.address}\r\n\r\n".encode())
        came = len(connection.recv(1 << 16))
        rotate = RotateLinkKeyRequest(end_links=True)
        alone.call(AdminServiceStub, "RotateLinkKey", rotate, alone.admin)
        while piece := connection.recv(1 << 20):
            came += len(piece)
    assert 0 < came < image.size_bytes
    assert fetched(alone.address, link)[0] == 401


def test_tokens_are_listed(alone: Callers) -> None:
    ids = [alone.token("READ")[0] for _ in range(3)]
    request = ListTokensRequest(page_size=2, name="somebody")
    page = alone.call(AdminServiceStub, "ListTokens", request, alone.admin)
    # The next page begins behind this one, though its last token has ended and there is a new one.
    alone.call(AdminServiceStub, "RevokeToken", RevokeTokenRequest(id=ids[1]), alone.admin)
    alone.token("READ")
    request.page_token = page.next_page_token
    rest = alone.call(AdminServiceStub, "ListTokens", request, alone.admin)
    assert [one.id for one in (*page.tokens, *rest.tokens)] == ids[::-1]
    assert not rest.next_page_token
