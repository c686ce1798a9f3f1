"""What is written for people, and for programs."""

import json
import re
import shutil
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from conexiones.sdk import Access, Image, RenditionInfo, Token

WIDE_COLUMNS = 110
"""A terminal of this width shows times in full, a narrower one ages."""

# Characters that would act on the terminal or on the direction of the text, instead of being shown.
_ACTIVE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_AGES = ((60, 1, "s"), (3600, 60, "min"), (2 * 86400, 3600, "h"), (100 * 86400, 86400, "d"))


def lenient_output() -> None:
    """What the encoding of the output lacks is written as an escape, rather than being an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def plain(text: str) -> str:
    """A text of somebody else, on one line of a terminal: what would act there is shown as an escape."""
    return _ACTIVE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def line(**values: Any) -> None:
    """Prints one JSON object on one line."""
    click.echo(json_line(**values))


def json_line(**values: Any) -> str:
    """One JSON object on one line."""
    text = _ACTIVE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(values, ensure_ascii=False))
    # Names of files may have bytes that are no text; as escapes, programs get them back.
    return text if text.isascii() or _encodable(text) else json.dumps(values)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def json_fields(image: "Image | RenditionInfo") -> dict[str, Any]:
    """An image, or a rendition of one, as fields of a JSON object."""
    from dataclasses import asdict, fields

    found = {field.name: getattr(image, field.name) for field in fields(image)}
    found["sha256"] = image.sha256.hex()
    if found.get("facts") is not None:
        found["facts"] = asdict(found["facts"])
    if "create_time" in found:
        found["create_time"] = found["create_time"].isoformat()
    return found


def record_fields(record: "Access | Token", scopes: Iterable[str]) -> dict[str, Any]:
    """Somebody's access, or a token, as fields of a JSON object."""
    from dataclasses import asdict

    found = asdict(record) | {"scopes": [scope for scope in scopes if scope in record.scopes]}
    return {name: one.isoformat() if isinstance(one, datetime) else one for name, one in found.items()}


def described(image: "Image | RenditionInfo", id: str) -> str:
    """An image, or a rendition of one, on one line, for people."""
    frames = f" × {image.frames}" if image.frames > 1 else ""
    shape = f"{image.width} × {image.height}{frames}"
    return f"{plain(id)}  {plain(image.format):<5} {shape:>15}  {bytes_(image.size_bytes):>9}"


def names(image: "Image") -> str:
    """The name of the file and, after an @, the user, where there are such."""
    return "  ".join(plain(text) for text in (image.name, image.user and f"@{image.user}") if text)


def row(image: "Image", now: datetime) -> str:
    """An image on one line of a list. It fits the terminal, or 80 columns where there is none: the name and
    the user are cut."""
    from rich.cells import cell_len, set_cell_size

    columns = shutil.get_terminal_size().columns
    frames = f"×{image.frames}" if image.frames > 1 else ""
    shape = f"{image.width}×{image.height}{frames}"
    created = image.create_time.astimezone()
    when = f"{created:%Y-%m-%d %H:%M:%S}" if columns >= WIDE_COLUMNS else f"{age(created, now):>6}"
    size = bytes_(image.size_bytes, digits=0)
    fixed = f"{plain(image.id)}  {plain(image.format):<4} {shape:>11} {size:>6} {when}"
    rest = names(image)
    room = max(columns - cell_len(fixed) - 2, 0)
    if cell_len(rest) > room:
        rest = set_cell_size(rest, room - 1).rstrip() + "…" if room else ""
    return f"{fixed}  {rest}".rstrip()


def age(then: datetime, now: datetime | None = None) -> str:
    """How long ago a time was, such as "5 min"."""
    seconds = max(((now or datetime.now(UTC)) - then).total_seconds(), 0)
    for below, unit, name in _AGES:
        if seconds < below:
            return f"{seconds // unit:.0f} {name}"
    return f"{then:%b %y}"


def several(count: int, one: str) -> str:
    """`1 image`, `2 images`."""
    return f"{count} {one}" if count == 1 else f"{count} {one}s"


def bytes_(count: float, *, digits: int = 1) -> str:
    """A size for people, in decimal units."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if round(count, digits) < 1000:
            return f"{count:.{digits}f} {unit}"
    return f"{count / 1000:.1f} TB"
