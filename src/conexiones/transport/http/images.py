"""GET and HEAD of /images/{id}, with conditions, ranges and content negotiation (RFC 9110).

Whatever was stored, its media type is that of an image, browsers must not guess another one, and a file that
is opened as a page can run nothing and load nothing.
"""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from conexiones.errors import MalformedRequest, OffsetOutOfRange
from conexiones.principals import LINK, Principal
from conexiones.services.image_files import File, ImageFiles
from conexiones.transport.chain.call import Call, Headers
from conexiones.transport.chain.replies import FREE
from conexiones.transport.http.conditions import byte_range, negotiated, none_match
from conexiones.transport.http.disposition import disposition
from conexiones.transport.http.problem import HttpAnswer

PREFIX = "/images/"

MAX_QUERY = 1024
"""The most bytes of a query."""

SAFE = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; sandbox; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
]

CACHE = b"private, max-age=31536000, immutable"
"""The bytes at an address never change. `private`, since a shared cache would give them to anyone."""

SMALL = FREE
"""Bytes of the largest file that is sent as a whole, without memory being held for it."""

LINK_CACHE = "private, max-age={seconds}, immutable"
"""Of what a signed link opened: nobody keeps it for longer than the link works."""


class ImagesOverHttp:
    """The endpoint of all paths below PREFIX. With `shared`, pages of other origins may show the images."""

    def __init__(self, files: ImageFiles, *, shared: bool) -> None:
        self._files = files
        policy = b"cross-origin" if shared else b"same-origin"
        self._safe = [*SAFE, (b"cross-origin-resource-policy", policy)]

    async def __call__(self, call: Call) -> None:
        if call.verb not in ("GET", "HEAD"):
            call.http_status = 405
            call.reply_headers.append((b"allow", b"GET, HEAD"))
            raise MalformedRequest
        if len(call.query) > MAX_QUERY or not call.query.isascii():
            raise MalformedRequest
        image_id = call.path.removeprefix(PREFIX)
        accepted = negotiated(_text(call, b"accept"))
        query = call.query.decode()
        async with self._files.open(image_id, query, accepted, call.caller, call.principal) as file:
            if none_match(_text(call, b"if-none-match"), file.etag):
                await call.respond(304, self._headers(file, call.principal), b"")
                return
            head = call.verb == "HEAD"
            asked, condition = _text(call, b"range"), _text(call, b"if-range")
            part = None if head else byte_range(asked, condition, size=file.size, etag=file.etag)
            if part is not None and part[0] >= part[1]:
                call.http_status = 416
                call.reply_headers.append((b"content-range", f"bytes */{file.size}".encode()))
                raise OffsetOutOfRange(field="range", limit=file.size, actual=part[0])
            await self._send(call, file, part)

    async def _send(self, call: Call, file: File, part: tuple[int, int] | None) -> None:
        start, end = part or (0, file.size)
        kind = "attachment" if file.attached else "inline"
        headers = [
            *self._headers(file, call.principal),
            (b"content-type", file.content_type.encode()),
            (b"content-length", str(end - start).encode()),
            (b"content-disposition", disposition(kind, file.name, or_else=file.id_name)),
        ]
        if part:
            headers.append((b"content-range", f"bytes {start}-{end - 1}/{file.size}".encode()))
        status = 206 if part else 200
        if call.verb == "HEAD" or start == end:
            await call.respond(status, headers, b"")
        elif file.size <= SMALL:
            await call.respond(status, headers, await _content(file, start, end))
        else:
            await call.room_for_all("stream")
            await _stream(call, status, headers, file.read(start, end - start))

    def _headers(self, file: File, principal: Principal) -> Headers:
        cache = CACHE
        if principal.subject == LINK and principal.expires is not None:
            left = max(0, int(principal.expires - time.time()))
            cache = LINK_CACHE.format(seconds=left).encode()
        return [
            (b"etag", file.etag.encode()),
            (b"cache-control", cache),
            (b"accept-ranges", b"bytes"),
            *([(b"vary", b"accept")] if file.chosen else []),
            *self._safe,
        ]


async def _content(file: File, start: int, end: int) -> bytes:
    if file.content is not None:
        return file.content[start:end]
    async with aclosing(file.read(start, end - start)) as pieces:
        return b"".join([data async for _, data in pieces])


async def _stream(
    call: Call, status: int, headers: Headers, pieces: AsyncGenerator[tuple[int, bytes], None]
) -> None:
    if isinstance(call.answer, HttpAnswer):
        call.answer.begun = True
    call.status = status
    await call.send({"type": "http.response.start", "status": status, "headers": headers, "trailers": False})
    async with aclosing(pieces):
        async for _, data in pieces:
            sending = call.send_piece(data)
            del data
            await sending
    await call.send({"type": "http.response.body", "body": b"", "more_body": False})


def _text(call: Call, name: bytes) -> str:
    return call.header(name).decode("latin-1")
