"""Messages that were compressed with gzip (RFC 1952), within the limit of a message."""

import asyncio
import zlib

from conexiones.errors import MalformedRequest

INFLATION = 1032
"""The most bytes that a byte of deflate can become (https://zlib.net/zlib_tech.html)."""

_GZIP = 16 + zlib.MAX_WBITS

_INLINE = 128 << 10
"""Bytes that are decompressed on the event loop. What becomes more goes on in a thread."""


async def inflate(data: bytes | memoryview, limit: int) -> bytes | None:
    """The bytes before compression; None if they are more than `limit`. Raises MalformedRequest.

    One member only: with many, each would cost another look at all that is left.
    """
    inflater = zlib.decompressobj(_GZIP)
    try:
        found = inflater.decompress(data, min(_INLINE, limit + 1))
        if not inflater.eof and len(found) <= limit:
            found = await asyncio.to_thread(_rest, inflater, found, limit)
    except zlib.error as error:
        raise MalformedRequest from error
    if len(found) > limit:
        return None
    if not inflater.eof or inflater.unused_data:
        raise MalformedRequest
    return found


def _rest(inflater: "zlib._Decompress", found: bytes, limit: int) -> bytes:
    """`found` and all that follows, until it is more than the limit."""
    pieces, size = [found], len(found)
    while not inflater.eof and size <= limit:
        piece = inflater.decompress(inflater.unconsumed_tail, limit + 1 - size)
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)
