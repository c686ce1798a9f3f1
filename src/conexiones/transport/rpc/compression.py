"""Compressed requests: which compressions are known, and how a message is decompressed within its limit.

gzip (RFC 1952) is the only one. Replies are never compressed.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable

from conexiones.errors import MalformedRequest, UnknownCompression
from conexiones.transport.rpc.gathered import Gathered

ACCEPTED = b"identity,gzip"
"""The value of grpc-accept-encoding."""

INFLATION = 1032
"""The most bytes that a byte of deflate can become (https://zlib.net/zlib_tech.html)."""

_GZIP = 16 + zlib.MAX_WBITS

_INLINE = 128 << 10
"""Bytes that are decompressed on the event loop. A thread decompresses the rest."""

_INPUT = 64 << 10
_STEP = 1 << 20
"""Bytes that go in and that come out at a time. Other threads run between two steps."""


def is_compressed(encoding: bytes) -> bool:
    """Whether messages may be compressed if a request names this encoding. Raises UnknownCompression."""
    if encoding in (b"", b"identity"):
        return False
    if encoding != b"gzip":
        raise UnknownCompression
    return True


async def inflate(
    data: bytes | bytearray | memoryview, limit: int, room: Callable[[], Awaitable[None]]
) -> bytes | memoryview | None:
    """The decompressed bytes; None if they are more than `limit`. Raises MalformedRequest. `room` is awaited
    before they become more than a few.

    Only one member (RFC 1952, section 2.2) is accepted: each further one would cost a copy of the rest.
    """
    inflater = zlib.decompressobj(_GZIP)
    view = memoryview(data)
    found: bytes | memoryview
    try:
        found = inflater.decompress(view[:_INPUT], min(_INLINE, limit + 1))
        if len(found) <= limit and not (inflater.eof and len(view) <= _INPUT):
            await room()
            found = await asyncio.to_thread(_rest, inflater, found, view[_INPUT:], limit)
    except zlib.error as error:
        raise MalformedRequest from error
    if len(found) > limit:
        return None
    if not inflater.eof or inflater.unused_data:
        raise MalformedRequest
    return found


def _rest(inflater: "zlib._Decompress", found: bytes, data: memoryview, limit: int) -> memoryview:
    """`found` and all that follows it, up to one byte more than the limit. It takes the data in short pieces,
    as what is left of a piece is copied at each step. Raises zlib.error, also for what follows the end."""
    gathered = Gathered(limit + 1)
    gathered.add(found)
    piece = memoryview(inflater.unconsumed_tail)
    while gathered.missing:
        made = inflater.decompress(piece, min(_STEP, gathered.missing))
        gathered.add(made)
        piece = memoryview(inflater.unconsumed_tail)
        if inflater.eof:
            if data:
                raise zlib.error("more than one member")
            break
        if not piece:
            piece, data = data[:_INPUT], data[_INPUT:]
            if not piece and not made:
                break
    return gathered.whole()
