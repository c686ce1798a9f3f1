"""Calls of a server that writes down each of them, and what it has written down."""

import asyncio
import json
import uuid
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.message import Message
from pyqwest import Client, Response

from conexiones.gen.conexiones.v1 import access_pb2, uploads_pb2
from conexiones.gen.user_pb2 import GetUserReply, GetUserRequest
from tests.support.paths import ROOT
from tests.support.waiting import DEADLINE
from tests.transport.chain.recorded import CASE
from tests.transport.chain.ways import WAYS

IMAGE = (ROOT / "client" / "image" / "elephant.jpg").read_bytes()
NO_IMAGE = "00000000-0000-0000-0000-000000000000"

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One call, and what has to be written down of it."""

    name: str
    path: str
    service: str = "http"
    method: str = "images"
    protocol: str = "http"
    end: str = ""
    exempt: tuple[str, ...] = ()
    handled: bool = False
    verb: str = "POST"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    http2: bool = False

    def line(self) -> dict[str, object]:
        return {
            "case": self.name,
            "event": "ended",
            "service": self.service,
            "method": self.method,
            "protocol": self.protocol,
            "path": self.path.partition("?")[0],
            "exempt": list(self.exempt),
            "handled": self.handled,
            "end": self.end,
        }


class Records:
    """What the server has written down."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def lines(self) -> list[dict[str, Any]]:
        if not self._file.exists():
            return []
        complete = self._file.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in complete.splitlines()]

    async def until(self, event: str, cases: list[Case]) -> None:
        """Waits for the event of all the cases."""
        names = {case.name for case in cases}
        async with asyncio.timeout(DEADLINE):
            while missing := names - {line["case"] for line in self.lines() if line["event"] == event}:
                assert missing
                await asyncio.sleep(0.05)  # nothing announces what another process writes


class Caller:
    """Calls a server over HTTP/1.1 and HTTP/2."""

    def __init__(self, address: str, by_http2: dict[bool, Client]) -> None:
        self._address = address
        self._by_http2 = by_http2

    async def call(self, case: Case, body: Any = None) -> None:
        """Makes a call, with that body or its own, and reads all of the answer."""
        async with self._stream(case, body or case.body or None) as response:
            async for _ in response.content:
                pass

    async def look(self, case: Case) -> None:
        """Makes a call, and goes away after the first piece of the answer."""
        async with self._stream(case, case.body or None) as response, asyncio.timeout(DEADLINE):
            async for _ in response.content:
                return

    def _stream(self, case: Case, body: Any) -> AbstractAsyncContextManager[Response]:
        headers = {**case.headers, CASE.decode(): case.name}
        url = f"http://{self._address}{case.path}"
        return self._by_http2[case.http2].stream(case.verb, url, headers, body)

    async def prepare(self, path: str, request: Message, reply: type[M]) -> M:
        """A call that is not written down."""
        way = WAYS[0]
        client = self._by_http2[way.http2]
        url = f"http://{self._address}{path}"
        answer = await client.execute("POST", url, way.headers(), way.body([request]))
        return reply.FromString(answer.content[5:])

    async def image(self, content: bytes = IMAGE) -> str:
        request = GetUserRequest(image=content)
        stored = await self.prepare("/user.UsuarioServicio/ProcessImage", request, GetUserReply)
        return str(stored.image_info.id)

    async def token(self) -> str:
        created = await self.prepare(
            "/conexiones.v1.AdminService/CreateToken",
            access_pb2.CreateTokenRequest(name="one", scopes=["SCOPE_READ"]),
            access_pb2.CreateTokenResponse,
        )
        return str(created.token.id)

    async def upload(self, *, full: bool = False) -> str:
        created = await self.prepare(
            "/conexiones.v1.UploadService/CreateUpload",
            uploads_pb2.CreateUploadRequest(request_id=str(uuid.uuid4())),
            uploads_pb2.CreateUploadResponse,
        )
        upload_id = str(created.upload.id)
        if full:
            await self.prepare(
                "/conexiones.v1.UploadService/WriteChunk",
                uploads_pb2.WriteChunkRequest(upload_id=upload_id, data=IMAGE),
                uploads_pb2.WriteChunkResponse,
            )
        return upload_id
