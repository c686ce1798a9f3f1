"""Records as rows, and rows as records."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from conexiones.ports.records import EventRecord, ImageRecord, UploadRecord, UserRecord

R = TypeVar("R", ImageRecord, UserRecord, UploadRecord, EventRecord)

NAMES = {
    record: tuple(field.name for field in fields(record))
    for record in (ImageRecord, UserRecord, UploadRecord, EventRecord)
}

_TYPES = {
    "digest": "bytea",
    **dict.fromkeys(("size", "width", "height", "frames", "committed_size", "declared_size"), "bigint"),
    **dict.fromkeys(("writer_epoch", "create_time", "update_time", "time"), "bigint"),
    **dict.fromkeys(("judge", "bits_per_sample"), "bigint"),
    "has_alpha": "boolean",
}


def quoted(names: Iterable[str], *, of: str = "") -> str:
    """The columns in a statement, of a table: `user` is a word of SQL."""
    return ", ".join(f'{of}."{name}"' if of else f'"{name}"' for name in names)


def selecting(record: type[R]) -> str:
    return quoted(NAMES[record])


def arrays(names: Iterable[str], *, start: int = 1) -> str:
    """The arguments of `unnest` for rows of these columns: $1::text[], …"""
    return ", ".join(f"${number}::{_TYPES.get(name, 'text')}[]" for number, name in enumerate(names, start))


def by_columns(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """The values for `arrays`, of at least one row."""
    return [
        [kept(value) if isinstance(value, str) else value for value in column]
        for column in zip(*rows, strict=True)
    ]


def found(record: type[R], rows: Iterable[Mapping[str, Any]]) -> list[R]:
    return [record(**row) for row in rows]


def first(record: type[R], row: Mapping[str, Any] | None) -> R | None:
    return None if row is None else record(**row)


# PostgreSQL keeps no NUL in a text, which names of users and ids of requests may have.
_ESCAPE, _NUL, _NUL_ESCAPED, _ESCAPE_ESCAPED = "\x01", "\x00", "\x01\x02", "\x01\x03"


def kept(text: str) -> str:
    """A text as it is kept: NUL as two other characters, and so the first of these."""
    if _NUL in text or _ESCAPE in text:
        text = text.replace(_ESCAPE, _ESCAPE_ESCAPED).replace(_NUL, _NUL_ESCAPED)
    return text


def encoded(text: str) -> bytes:
    """What the driver sends for a text. It does not ask for those in arrays, which `by_columns` sees to."""
    return kept(text).encode()


def decoded(data: bytes) -> str:
    """What the driver gives for a text that it received."""
    text = bytes(data).decode()
    if _ESCAPE in text:
        text = text.replace(_NUL_ESCAPED, _NUL).replace(_ESCAPE_ESCAPED, _ESCAPE)
    return text
