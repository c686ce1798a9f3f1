"""The tables that every catalog has, whatever keeps them: what a house takes along when it moves."""

from dataclasses import fields

from conexiones.adapters.catalog.credential_rows import COLUMNS
from conexiones.ports.records import EventRecord, Facts, ImageRecord, UploadRecord, UserRecord


def _columns(record: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(record))


TABLES: dict[str, tuple[str, ...]] = {
    "images": _columns(ImageRecord),
    "users": _columns(UserRecord),
    "uploads": _columns(UploadRecord),
    "events": _columns(EventRecord),
    "facts": ("digest", "judge", *_columns(Facts)),
    "usage": ("owner", "images", "bytes"),
    "spent": ("ticket", "images", "bytes"),
    "credentials": COLUMNS,
    "link_keys": ("id", "secret", "create_time"),
}
"""Table → its columns, in an order in which rows refer only to rows of tables before. The first column is by
what rows are sorted on their way."""

FLAGS = frozenset({"has_alpha", "own"})
"""Columns that are true or false, which not every database knows as such."""
