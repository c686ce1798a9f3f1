"""Ranges of bytes, as downloads ask for them."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable

from conexiones.errors import InvalidField, OffsetOutOfRange


def span(size: int, offset: int, limit: int) -> tuple[int, int]:
    """From where and to where (not included) to read of `size` bytes.

    A negative offset counts from the end; limit 0 is to the end. Raises OffsetOutOfRange, InvalidField.
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
    """What `read`, which begins at an offset, gives of a span, with the offsets. Raises as `span`.

    While it waits for the next piece it holds none, as all that downloads pass through.
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
