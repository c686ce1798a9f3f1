"""GET and HEAD of /images/{id}: HTTP's own ways of asking for bytes (RFC 9110), with those of an image.

Whatever is asked for, the answer is an image by its type, which nothing may take for anything else, and
which may run nothing and load nothing even if it is opened by itself.
"""

import logging
import re
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from conexiones.errors import ConexionesError, Internal, MalformedRequest, OffsetOutOfRange
from conexiones.services.files import File, Files
from conexiones.transport.http.problem import respond_problem
from conexiones.transport.inbound import Receive
from conexiones.transport.wire import Send

log = logging.getLogger("conexiones.images")

PREFIX = "/images/"

MAX_QUERY = 1024
"""Bytes."""

SAFE = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; sandbox; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
]

# Of all bytes under one address the same, for ever; for this client alone, as every call is its own.
CACHE = b"private, max-age=31536000, immutable"

_RANGE = re.compile(r"bytes=[ \t]*(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))[ \t]*", re.IGNORECASE)
_ETAG = re.compile(r'(?:W/)?("[^"]*")')


class ImageFiles:
    """An ASGI application for the paths below PREFIX. `shared` says that pages of other origins may show the
    images."""

    def __init__(self, files: Files, *, shared: bool) -> None:
        self._files = files
        policy = b"cross-origin" if shared else b"same-origin"
        self._safe = [*SAFE, (b"cross-origin-resource-policy", policy)]

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        head = scope["method"] == "HEAD"
        if scope["method"] not in ("GET", "HEAD"):
            await respond_problem(send, MalformedRequest(), status=405, headers=[(b"allow", b"GET, HEAD")])
            return
        answer = _Answer(send)
        try:
            await self._serve(scope, answer, head=head)
        except Exception as error:
            if not isinstance(error, ConexionesError):
                log.exception("An image could not be served")
                error = Internal()
            if answer.begun:
                # Let through, it cuts the answer off, which so is seen to be short.
                raise error from None
            await respond_problem(send, error, body=not head)

    async def _serve(self, scope: Any, send: "_Answer", *, head: bool) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"]
        if len(query) > MAX_QUERY or not query.isascii():
            raise MalformedRequest
        image_id = scope["path"].removeprefix(PREFIX)
        async with self._files.open(image_id, query.decode(), headers.get("accept", "")) as file:
            if _has(headers.get("if-none-match", ""), file.etag):
                await send.start(304, self._headers(file))
                await send.end()
                return
            part = None if head else _range(headers, file)
            if part is not None and part[0] >= part[1]:
                beyond = OffsetOutOfRange(field="range", limit=file.size, actual=part[0])
                size = (b"content-range", f"bytes */{file.size}".encode())
                await respond_problem(send.send, beyond, status=416, headers=[size])
                return
            start, end = part or (0, file.size)
            described = [
                *self._headers(file),
                (b"content-type", file.content_type.encode()),
                (b"content-length", str(end - start).encode()),
                (b"content-disposition", _disposition(file)),
            ]
            if part:
                described.append((b"content-range", f"bytes {start}-{end - 1}/{file.size}".encode()))
            await send.start(206 if part else 200, described)
            if not head:
                async with aclosing(file.read(start, end - start)) as pieces:  # type: ignore[type-var]
                    async for _, data in pieces:
                        await send.data(data)
            await send.end()

    def _headers(self, file: File) -> list[tuple[bytes, bytes]]:
        return [
            (b"etag", file.etag.encode()),
            (b"cache-control", CACHE),
            (b"accept-ranges", b"bytes"),
            *([(b"vary", b"accept")] if file.chosen else []),
            *self._safe,
        ]


class _Answer:
    """The ASGI send() of one response."""

    def __init__(self, send: Send) -> None:
        self.send = send
        self.begun = False

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.begun = True
        await self.send(
            {"type": "http.response.start", "status": status, "headers": headers, "trailers": False}
        )

    async def data(self, data: bytes) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        await self.send({"type": "http.response.body", "body": b"", "more_body": False})


def _has(field: str, etag: str) -> bool:
    """Whether If-None-Match, which compares weakly, has the tag."""
    return field.strip() == "*" or etag in _ETAG.findall(field)


def _range(headers: Mapping[str, str], file: File) -> tuple[int, int] | None:
    """The one range asked for, from and to (not included); empty if the file does not reach there.

    None for all of it: nothing was asked for, or more ranges than one, or what is no range, or a range of
    what the file was before.
    """
    found = _RANGE.fullmatch(headers.get("range", ""))
    if not found or headers.get("if-range", file.etag).strip() != file.etag:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        return max(0, file.size - int(suffix)), file.size
    if last and int(last) < int(first):
        return None
    end = min(int(last) + 1, file.size) if last else file.size
    return int(first), end


def _disposition(file: File) -> bytes:
    # The name is made of an id and a format: there is nothing in it to quote.
    return f'{"attachment" if file.attached else "inline"}; filename="{file.name}"'.encode()
