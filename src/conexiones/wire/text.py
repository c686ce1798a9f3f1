"""Events for people: a timeline in 80 columns."""

import re
import textwrap
from collections.abc import Callable, Iterable, Iterator

from conexiones.wire.events import Event, Field, Fields, Header, Message, Part, Value

COLUMNS = 80
INDENT = 18
"""Where what an event shows begins."""
WIDTH = COLUMNS - INDENT
_SHOWN_BYTES = 12
_SHOWN_TEXT = 160
_SHOWN_HEADER = 160
_MAX_ROWS = 8
_MAX_DEPTH = 10
"""Messages within messages that are indented."""

# What would act on a terminal, or on the direction of the text.
ACTIVE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_COLOURS = {"sent": "36", "received": "33", "kind": "1", "soft": "2", "problem": "31"}

Paint = Callable[[str, str], str]
"""A text in the colour with this name."""


def coloured(text: str, colour: str) -> str:
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def uncoloured(text: str, colour: str) -> str:
    return text


def plain(text: str) -> str:
    """A text of somebody else: what would act on a terminal is shown as an escape."""
    return ACTIVE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class Timeline:
    """Writes events as lines: the milliseconds since the beginning, an arrow from the client or to it, the
    stream, and what it is. Of further connections, the stream has their number before it."""

    def __init__(self, paint: Paint = uncoloured) -> None:
        self._paint = paint
        self._begun = False

    def event(self, event: Event) -> Iterator[str]:
        """The lines of an event; before the first one, what the columns are."""
        if not self._begun:
            self._begun = True
            yield self._paint("      ms   stream", "soft")
        arrow = self._paint("→", "sent") if event.sent else self._paint("←", "received")
        stream = str(event.stream) if event.stream else "-"
        if event.connection > 1:
            stream = f"{event.connection}/{stream}"
        rows = self._part(event.part)
        yield f"{event.at * 1000:8.1f} {arrow} {stream:>5}  {next(rows)}".rstrip()
        yield from (f"{' ' * INDENT}{row}" for row in rows)

    def part(self, part: Part, stream: int) -> Iterator[str]:
        """The lines of a part without its time."""
        rows = self._part(part)
        yield f"stream {stream}  {next(rows)}" if stream else next(rows)
        yield from (f"  {row}" for row in rows)

    def _part(self, part: Part) -> Iterator[str]:
        name = f"{part.kind} {part.facts['number']}" if "number" in part.facts else part.kind
        words = [*_length(part), *part.flags, *_facts(part)]
        room = WIDTH - 14
        first = words[:1] if words and len(words[0]) <= room else []
        while (
            first and len(first) < len(words) and len("  ".join(first)) + 2 + len(words[len(first)]) <= room
        ):
            first.append(words[len(first)])
        yield f"{self._paint(f'{name:<13}', 'kind')} {'  '.join(first)}".rstrip()
        yield from _flowed(words[len(first) :])
        if "prefix" in part.facts:
            yield f"{_prefix(part)}  {self._paint(f'({_meaning(part)})', 'soft')}"
        for header in part.headers:
            yield from self._header(header)
        if part.message is not None:
            yield from self._message(part.message)
        for detail in part.details:
            yield detail.type
            yield from (f"  {row}" for row in self._message(detail))
        if part.problem:
            yield from self._problem(part.problem)

    def _header(self, header: Header) -> Iterator[str]:
        value = plain(header.value)
        if len(value) > _SHOWN_HEADER:
            value = f"{value[:_SHOWN_HEADER]}… {len(header.value):,} characters"
        rows = _wrapped(f"{plain(header.name)}: {value}", WIDTH)
        note = f"({plain(header.note)})" if header.note else ""
        if note and len(rows[-1]) + len(note) + 2 > WIDTH:
            rows += [f"  {row}" for row in _wrapped(note, WIDTH - 2)]
        elif note:
            rows[-1] = f"{rows[-1]}  {self._paint(note, 'soft')}"
        yield from rows

    def _message(self, message: Message) -> Iterator[str]:
        if message.fields is None:
            yield from _wrapped(plain(message.text), WIDTH)
        else:
            yield from self._fields(message.fields, 0)
            if message.fields.problem:
                yield from self._problem(message.fields.problem)

    def _problem(self, problem: str) -> Iterator[str]:
        yield from (self._paint(row, "problem") for row in _wrapped(f"! {problem}", WIDTH))

    def _fields(self, fields: Fields, depth: int) -> Iterator[str]:
        pad = "  " * min(depth, _MAX_DEPTH)
        for field in fields.fields:
            yield from (f"{pad}{row}" for row in self._field(field, WIDTH - len(pad)))
            if field.inner is not None:
                yield from self._fields(field.inner, depth + 1)
        if fields.left:
            yield f"{pad}{self._paint(f'… {fields.left:,} bytes more', 'soft')}"

    def _field(self, field: Field, room: int) -> Iterator[str]:
        """The name or, without one, the type; the value; what that means; and its bytes."""
        named = f"{field.number} {field.name or field.type}:"
        rows = _wrapped(f"{named} {_shown(field)}".rstrip(), room)
        extra = "  ".join(one for one in (plain(field.note), f"({_raw(field)})" if field.raw else "") if one)
        if not extra:
            yield from rows
        elif len(rows[-1]) + 2 + len(extra) <= room:
            yield from rows[:-1]
            yield f"{rows[-1]}  {self._paint(extra, 'soft')}"
        else:
            yield from rows
            yield from (self._paint(f"    {row}", "soft") for row in _wrapped(extra, room - 4))


def _length(part: Part) -> list[str]:
    if part.kind in {"OPEN", "CLOSED", "BROKEN"}:
        return []
    return [f"{part.length:,} byte{'' if part.length == 1 else 's'}"]


def _facts(part: Part) -> list[str]:
    kind = [part.message.type] if part.message is not None and part.message.type else []
    if part.kind == "MESSAGE":
        return kind
    if part.kind == "SETTINGS":
        return [f"{name}={value:,}" for name, value in part.facts.items()]
    return [
        _fact(name, value)
        for name, value in part.facts.items()
        if name not in {"prefix", "compressed", "number"}
    ]


def _fact(name: str, value: int | str | bool) -> str:
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else plain(str(value))
    return text if name in {"role", "line", "text", "error"} else f"{name.replace('_', ' ')} {text}"


def _prefix(part: Part) -> str:
    prefix = str(part.facts["prefix"])
    return f"{prefix[:2]} {prefix[2:4]} {prefix[4:6]} {prefix[6:8]} {prefix[8:]}"


def _meaning(part: Part) -> str:
    """What the five bytes before a message say."""
    flags = "" if part.kind == "MESSAGE" else "the end, "
    return f"{flags}{'compressed' if part.facts['compressed'] else 'not compressed'}, {part.length:,} bytes"


def _shown(field: Field) -> str:
    if field.inner is not None:
        return field.type if field.name else ""
    if isinstance(field.value, str):
        text = plain(field.value[:_SHOWN_TEXT])
        return f'"{text}{"…" if len(field.value) > _SHOWN_TEXT else ""}"'
    if isinstance(field.value, bytes):
        return f"{field.size or 0:,} bytes"
    return _simple(field.value)


def _simple(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(_simple, value))}]"
    return "" if value is None else str(value)


def _raw(field: Field) -> str:
    """The bytes of a field; of a message only its tag and its length."""
    if field.inner is not None and field.size is not None:
        head = field.raw[: field.length - field.size].hex(" ")
        return f"{head} …" if field.size else head
    if field.length <= _SHOWN_BYTES + 4:
        return field.raw.hex(" ")
    return f"{field.raw[:_SHOWN_BYTES].hex(' ')} … {field.length:,} bytes"


def _flowed(words: Iterable[str]) -> Iterator[str]:
    """The words in as many rows as they need, none of which is cut in two if there is room."""
    row = ""
    for word in words:
        if row and len(row) + 2 + len(word) > WIDTH:
            yield row
            row = ""
        row = f"{row}  {word}" if row else word
    if row:
        yield from _wrapped(row, WIDTH)


def _wrapped(text: str, width: int) -> list[str]:
    rows = textwrap.wrap(text, width, subsequent_indent="  ", break_on_hyphens=False) or [""]
    return rows if len(rows) <= _MAX_ROWS else [*rows[:_MAX_ROWS], "  …"]
