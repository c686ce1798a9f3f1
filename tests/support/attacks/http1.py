"""Requests over HTTP/1.1 by hand: Connect, gRPC-Web and plain HTTP."""

import asyncio
import base64
import json
from collections.abc import Mapping

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo

from tests.support.attacks import credentials
from tests.support.attacks.target import Connection, Tally

_KEPT = 1 << 14
"""Bytes that are kept of the body of an answer: enough for the details of an error."""


def request(path: str, headers: Mapping[str, str], body: bytes = b"", *, verb: str = "POST") -> bytes:
    """A whole request. A content-length among the headers is sent in place of the right one."""
    length = {"content-length": str(len(body))} if verb == "POST" else {}
    sent = {"host": "localhost", **length, **credentials.headers(), **headers}
    lines = [f"{verb} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


async def answer(connection: Connection) -> tuple[int, bytes]:
    """The status and the first part of the body of an answer, which is read to its end.

    Raises IncompleteReadError if the connection ends before it.
    """
    reader = connection.reader
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = int(head.split(" ", 2)[1])
    fields = dict(line.partition(": ")[::2] for line in head.split("\r\n")[1:])
    if fields.get("transfer-encoding") != "chunked":
        return status, await _exactly(reader, int(fields.get("content-length", "0")))
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body = (body + (await _exactly(reader, size + 2))[:size])[:_KEPT]
    await reader.readuntil(b"\r\n")
    return status, body


async def _exactly(reader: asyncio.StreamReader, size: int) -> bytes:
    """The first of that many bytes; all of them are read."""
    kept = b""
    while size:
        piece = await reader.read(min(size, 1 << 16))
        if not piece:
            raise asyncio.IncompleteReadError(kept, size)
        size -= len(piece)
        kept = (kept + piece)[:_KEPT]
    return kept


async def ask(connection: Connection, tally: Tally, sent: bytes) -> int:
    """Sends a request, counts its answer by the reason of its error, and gives the status."""
    tally["calls"] += 1
    await connection.send(sent)
    status, body = await answer(connection)
    tally["served" if status < 300 else f"refused: {reason(status, body)}"] += 1
    return status


def reason(status: int, body: bytes) -> str:
    """The reason of the error in an answer of Connect or plain HTTP."""
    try:
        found = json.loads(body)
        if "reason" in found:
            return str(found["reason"])
        value = found["details"][0]["value"]
        return str(ErrorInfo.FromString(base64.b64decode(value + "=" * (-len(value) % 4))).reason)
    except (ValueError, LookupError, TypeError, DecodeError):
        return f"HTTP {status}"
