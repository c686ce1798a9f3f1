"""Ranges of bytes, as downloads ask for them."""

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
