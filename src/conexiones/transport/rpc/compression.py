"""Compressed requests: which compressions are known, and how a message is decompressed within its limit.

gzip (RFC 1952) is the only one. Replies are never compressed.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable

from conexiones.errors import MalformedRequest, UnknownCompression

ACCEPTED = b"identity,gzip"
"""The value of grpc-accept-encoding."""

INFLATION = 1032
"""The most bytes that a byte of deflate can become (https://zlib.net/zlib_tech.html)."""

_GZIP = 16 + zlib.MAX_WBITS

_INLINE = 128 << 10
"""Bytes that are decompressed on the event loop. A thread decompresses the rest."""


def is_compressed(encoding: bytes) -> bool:
    """Whether messages may be compressed if a request names this encoding. Raises UnknownCompression."""
    if encoding in (b"", b"identity"):
        return False
    if encoding != b"gzip":
        raise UnknownCompression
    return True


async def inflate(
    data: bytes | bytearray | memoryview, limit: int, room: Callable[[], Awaitable[None]]
) -> bytes | None:
    """The decompressed bytes; None if they are more than `limit`. Raises MalformedRequest. `room` is awaited
    before they become more than a few.

    Only one member (RFC 1952, section 2.2) is accepted: each further one would cost a copy of the rest.
    """
    inflater = zlib.decompressobj(_GZIP)
    try:
        found = inflater.decompress(data, min(_INLINE, limit + 1))
        if not inflater.eof and len(found) <= limit:
            await room()
            found = await asyncio.to_thread(_rest, inflater, found, limit)
    except zlib.error as error:
        raise MalformedRequest from error
    if len(found) > limit:
        return None
    if not inflater.eof or inflater.unused_data:
        raise MalformedRequest
    return found


def _rest(inflater: "zlib._Decompress", found: bytes, limit: int) -> bytes:
    """`found` and all that follows it, up to one byte more than the limit."""
    pieces, size = [found], len(found)
    while not inflater.eof and size <= limit:
        piece = inflater.decompress(inflater.unconsumed_tail, limit + 1 - size)
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)
