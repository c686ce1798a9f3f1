"""Events for programs: one JSON object each."""

import json
from typing import Any

from conexiones.wire.events import Event, Field, Fields, Header, Message, Part, Value
from conexiones.wire.text import ACTIVE

_SAFE = 1 << 53
"""Numbers from here on are written as texts: JavaScript would round them."""


def json_line(event: Event) -> str:
    """The event on one line."""
    return one_line(event_object(event))


def one_line(found: dict[str, Any]) -> str:
    """As JSON on one line, in which what would act on a terminal is an escape."""
    text = json.dumps(found, ensure_ascii=False, allow_nan=False)
    return ACTIVE.sub(lambda one: f"\\u{ord(one[0]):04x}", text)


def event_object(event: Event) -> dict[str, Any]:
    found = {
        "wire": event.part.kind,
        "ms": round(event.at * 1000, 3),
        "from": "client" if event.sent else "server",
        "connection": event.connection,
        "stream": event.stream,
    }
    return found | part_object(event.part)


def part_object(part: Part) -> dict[str, Any]:
    found: dict[str, Any] = {"length": part.length, "flags": list(part.flags), **_facts(part)}
    if part.headers:
        found["headers"] = [_header(header) for header in part.headers]
    if part.message is not None:
        found["message"] = _message(part.message)
    if part.details:
        found["details"] = [_message(detail) for detail in part.details]
    if part.problem:
        found["problem"] = part.problem
    return found


def _facts(part: Part) -> dict[str, Any]:
    # Settings have names of their own, which are not to be taken for those of the event.
    return {"settings": dict(part.facts)} if part.kind == "SETTINGS" else dict(part.facts)


def _header(header: Header) -> dict[str, str]:
    found = {"name": header.name, "value": header.value}
    return found | ({"note": header.note} if header.note else {})


def _message(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = {"type": message.type} if message.type else {}
    if message.fields is None:
        return found | {"json": message.text}
    return found | _fields(message.fields)


def _fields(fields: Fields) -> dict[str, Any]:
    found: dict[str, Any] = {"fields": [_field(field) for field in fields.fields]}
    if fields.left:
        found["bytes_left"] = fields.left
    if fields.problem:
        found["problem"] = fields.problem
    return found


def _field(field: Field) -> dict[str, Any]:
    found: dict[str, Any] = {"number": field.number, "name": field.name, "type": field.type}
    if field.inner is None:
        found["value"] = _value(field.value, field.type)
    if field.size is not None:
        found["size"] = field.size
    if field.note:
        found["note"] = field.note
    found |= {"bytes": field.raw.hex(), "length": field.length}
    return found if field.inner is None else found | _fields(field.inner)


def _value(value: Value, kind: str) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [_value(one, kind) for one in value]
    if isinstance(value, float) and value - value != 0:
        return str(value)  # neither infinity nor NaN is JSON
    if isinstance(value, int) and not isinstance(value, bool) and not -_SAFE < value < _SAFE:
        return str(value)
    return value
