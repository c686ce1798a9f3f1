"""An object store that refuses to delete some objects, as with a legal hold or a policy: a server in front of
one that knows neither."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import urlsplit

from conexiones.adapters.blobs.s3.place import BlobPlace

_REFUSAL = "<Code>AccessDenied</Code><Message>The object is under a legal hold.</Message>"


class Holding:
    """`held` are the names that are not deleted, or parts of them. `asked` has the requests that delete."""

    def __init__(self, endpoint: str) -> None:
        self.held: list[str] = []
        self.asked: list[str] = []
        parts = urlsplit(endpoint)
        self._behind = parts.hostname or "", parts.port or 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            size = re.search(rb"(?i)\ncontent-length: *(\d+)", head)
            body = await reader.readexactly(int(size[1])) if size else b""
            writer.write(await self._answer(head, body))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            writer.close()

    async def _answer(self, head: bytes, body: bytes) -> bytes:
        method, path, _ = head.split(b"\r\n")[0].decode().split(" ")
        if method == "DELETE":
            self.asked.append(path)
            if self._holds(path):
                return _written("403 Forbidden", f"<Error>{_REFUSAL}</Error>")
        if method != "POST" or not path.endswith("?delete"):
            return await self._forward(head, body)
        bucket, told = path.removesuffix("?delete"), []
        names = re.findall(r"<Key>([^<]+)</Key>", body.decode())
        self.asked.append(" ".join(names))
        for name in names:
            if self._holds(name):
                told.append(f"<Error><Key>{name}</Key>{_REFUSAL}</Error>")
            else:
                await self._forward(f"DELETE {bucket}/{name} HTTP/1.1\r\nHost: s3\r\n\r\n".encode(), b"")
                told.append(f"<Deleted><Key>{name}</Key></Deleted>")
        return _written("200 OK", f"<DeleteResult>{''.join(told)}</DeleteResult>")

    def _holds(self, name: str) -> bool:
        return any(held in name for held in self.held)

    async def _forward(self, head: bytes, body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*self._behind)
        line, _, rest = head.partition(b"\r\n")
        writer.write(line + b"\r\nConnection: close\r\n" + rest + body)
        answer = await reader.read()
        writer.close()
        return answer


def _written(status: str, text: str) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(text)}\r\n"
    return f"{head}Connection: close\r\n\r\n{text}".encode()


@asynccontextmanager
async def holding(place: BlobPlace) -> AsyncIterator[tuple[Holding, BlobPlace]]:
    """A server in front of the store, and the same place by way of it."""
    gate = Holding(place.endpoint or "")
    server = await asyncio.start_server(gate.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield gate, replace(place, endpoint=f"http://127.0.0.1:{port}")
    finally:
        server.close()
