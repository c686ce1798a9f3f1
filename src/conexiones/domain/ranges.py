"""The ranges of bytes that downloads ask for."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable

from conexiones.errors import InvalidField, OffsetOutOfRange


def span(size: int, offset: int, limit: int) -> tuple[int, int]:
    """The start and the end (exclusive) of the range, of `size` bytes.

    A negative offset counts from the end, and with the limit 0 the range goes to the end. Raises
    OffsetOutOfRange and InvalidField.
    """
    at = max(0, size + offset) if offset < 0 else offset
    if at > size:
        raise OffsetOutOfRange(field="offset", limit=size, actual=offset)
    if limit < 0:
        raise InvalidField(field="limit", takes="0 or more")
    return at, min(at + limit, size) if limit else size


async def pieces(
    size: int, offset: int, limit: int, read: Callable[[int], AsyncIterator[bytes]]
) -> AsyncGenerator[tuple[int, bytes], None]:
    """What `read`, called with the start of the range, gives of the range, each piece with its offset.

    Raises what `span` and `read` raise. It keeps no piece while it waits for the next one, so that a download
    holds one piece in memory and not two.
    """
    at, end = span(size, offset, limit)
    if at == end:
        return
    async for piece in read(at):
        begin, at = at, at + len(piece)
        yield begin, piece[: end - begin]
        del piece
        if at >= end:
            return
