"""The fields of messages as they are on the wire (https://protobuf.dev/programming-guides/encoding)."""

import struct
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from conexiones.wire.contract import Contract
from conexiones.wire.events import HEAD_BYTES, MAX_DEPTH, MAX_FIELDS, MAX_TEXT, Field, Fields, Value
from conexiones.wire.redaction import without

VARINT, FIXED64, LENGTH, GROUP, END_GROUP, FIXED32 = range(6)
_WIRE_TYPES = ("varint", "fixed64", "length-delimited", "group", "end of a group", "fixed32")
_MAX_NUMBER = (1 << 29) - 1
_MAX_VARINT_BYTES = 10
_MAX_PACKED = 32
"""Packed numbers that are shown."""
_MAX_WORK = 20 * MAX_FIELDS
"""Fields that are read to show those of a message: guesses may turn out to be wrong."""

# By the numbers of FieldDescriptorProto.Type.
_TYPES = (
    "", "double", "float", "int64", "uint64", "int32", "fixed64", "fixed32", "bool", "string", "group",
    "message", "bytes", "uint32", "enum", "sfixed32", "sfixed64", "sint32", "sint64",
)  # fmt: skip
_FORMATS = {
    "double": "<d",
    "float": "<f",
    "fixed64": "<Q",
    "sfixed64": "<q",
    "fixed32": "<I",
    "sfixed32": "<i",
}
_WIRE_OF = {
    **dict.fromkeys(("int64", "uint64", "int32", "bool", "uint32", "enum", "sint32", "sint64"), VARINT),
    **dict.fromkeys(("double", "fixed64", "sfixed64"), FIXED64),
    **dict.fromkeys(("float", "fixed32", "sfixed32"), FIXED32),
    **dict.fromkeys(("string", "bytes", "message"), LENGTH),
    "group": GROUP,
}


class _Fault(Exception):
    """What is wrong; the text is a sentence."""


class Reader:
    """Reads the fields of messages by a contract. One reads one message at a time."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        # How many more fields of the message are shown, and read.
        self._room = self._work = 0

    def read(
        self, data: bytes | bytearray | memoryview, kind: Descriptor | None, total: int | None = None
    ) -> Fields:
        """The fields of a message of this kind, or, without one, of any. `total` is its size if `data` is
        only the beginning. Raises nothing: what is wrong is in `problem`."""
        self._room, self._work = MAX_FIELDS, _MAX_WORK
        view = memoryview(data)
        return self._fields(view, len(view) if total is None else total, kind, 0)

    def _fields(self, view: memoryview, total: int, kind: Descriptor | None, depth: int) -> Fields:
        """`view` may be shorter than `total`."""
        found: list[Field] = []
        at = 0
        problem = ""
        while at < len(view) and self._room > 0 and self._work > 0:
            self._room -= 1
            self._work -= 1
            try:
                field, size = self._field(view[at:], total - at, kind, depth)
            except _Fault as fault:
                # What is cut off here is not wrong there.
                problem = "" if _runs_out(view, total, at) else f"At byte {at}: {fault}"
                break
            found.append(field)
            at += size
            if field.inner and field.inner.problem:
                problem = problem or f"In field {field.number}: {field.inner.problem}"
        return Fields(fields=tuple(found), left=max(total - at, 0), problem=problem)

    def _field(self, view: memoryview, total: int, kind: Descriptor | None, depth: int) -> tuple[Field, int]:
        """The first field, and how many bytes it has."""
        tag, at = _varint(view, 0)
        number, wire = tag >> 3, tag & 7
        if not 0 < number <= _MAX_NUMBER:
            raise _Fault(f"{number} is not the number of a field.")
        known = kind.fields_by_number.get(number) if kind is not None else None
        if wire == LENGTH:
            size, at = _varint(view, at)
            if size > total - at:
                raise _Fault(f"Field {number} is said to have {size} bytes, and {total - at} are left.")
            field = self._long(view[at : at + size], size, known, depth)
            at += size
            length = at
        elif wire == GROUP:
            field, at = self._group(view, at, number, known, depth)
            length = at
        else:
            field, at = _short(view, at, wire, known)
            length = at
        raw = b"" if _hides(field) else bytes(view[: min(length, HEAD_BYTES)])
        return replace(field, number=number, name=known.name if known else "", raw=raw, length=length), at

    def _long(self, view: memoryview, size: int, known: FieldDescriptor | None, depth: int) -> Field:
        """A field with a length."""
        kind = _TYPES[known.type] if known else ""
        if known is None:
            return self._guessed(view, size, depth)
        if kind == "message" and known.message_type is not None:
            return self._message(view, size, known.message_type, depth)
        if kind == "string":
            return _text(view, size, "string")
        if kind == "bytes":
            return _bytes(view, size, "bytes")
        if _WIRE_OF[kind] in {VARINT, FIXED64, FIXED32}:
            return _packed(view, size, known)
        return replace(self._guessed(view, size, depth), note=_OTHER)

    def _message(self, view: memoryview, size: int, kind: Descriptor, depth: int) -> Field:
        if depth == MAX_DEPTH:
            return Field(number=0, type=kind.full_name, size=size, inner=Fields(left=size))
        inner = self._fields(view, size, kind, depth + 1)
        if kind.full_name == "google.protobuf.Any":
            inner = self._any(view, size, inner, depth)
        return Field(
            number=0, type=kind.full_name, size=size, inner=inner, note=_meaning(kind.full_name, inner)
        )

    def _any(self, view: memoryview, size: int, inner: Fields, depth: int) -> Fields:
        """An Any whose value is shown as the message that it is, if the contract has it."""
        by_number = {field.number: field for field in inner.fields}
        url, value = by_number.get(1), by_number.get(2)
        if url is None or value is None or value.size is None or depth + 1 >= MAX_DEPTH:
            return inner
        kind = self._contract.known(str(url.value).rpartition("/")[2])
        if kind is None:
            return inner
        before = sum(field.length for field in inner.fields[: inner.fields.index(value)])
        begin = before + value.length - value.size
        found = self._fields(view[begin : begin + value.size], value.size, kind, depth + 2)
        shown = replace(value, type=kind.full_name, value=None, inner=found)
        return replace(inner, fields=tuple(shown if one is value else one for one in inner.fields))

    def _guessed(self, view: memoryview, size: int, depth: int) -> Field:
        """A field of which only the wire type is known: a text, a message or bytes, whatever it can be."""
        if size and len(view) == size:
            if _printable(view):
                return _text(view, size, "string?")
            if depth < MAX_DEPTH:
                room = self._room
                inner = self._fields(view, size, None, depth + 1)
                if not inner.problem and not inner.left:
                    return Field(number=0, type="message?", size=size, inner=inner)
                self._room = room
        return _bytes(view, size, "bytes?")

    def _group(
        self, view: memoryview, at: int, number: int, known: FieldDescriptor | None, depth: int
    ) -> tuple[Field, int]:
        """A group, which ends with a tag of its own."""
        if depth == MAX_DEPTH:
            raise _Fault(f"Field {number} is a group in too many others.")
        kind = known.message_type if known is not None and _TYPES[known.type] == "group" else None
        found: list[Field] = []
        while self._room > 0:
            tag, after = _varint(view, at)
            if tag & 7 == END_GROUP:
                if tag >> 3 != number:
                    raise _Fault(f"The group {number} ends as {tag >> 3}.")
                inner = Fields(fields=tuple(found))
                return Field(number=0, type=kind.full_name if kind else "group", inner=inner), after
            self._room -= 1
            field, size = self._field(view[at:], len(view) - at, kind, depth + 1)
            found.append(field)
            at += size
        raise _Fault(f"The group {number} has too many fields.")


_OTHER = "another wire type than in the contract"
_SECRET = "a secret"  # noqa: S105 (a note about one)


def _runs_out(view: memoryview, total: int, at: int) -> bool:
    """Whether what is kept of a message ends within the tag and the length at this place."""
    return len(view) < total and len(view) - at < 2 * _MAX_VARINT_BYTES


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """The number, and where it ends."""
    value = 0
    for count, byte in enumerate(view[at : at + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value & ((1 << 64) - 1), at + count + 1
    if len(view) - at < _MAX_VARINT_BYTES:
        raise _Fault("The bytes end within a number.")
    raise _Fault(f"A number has more than {_MAX_VARINT_BYTES} bytes.")


def _short(view: memoryview, at: int, wire: int, known: FieldDescriptor | None) -> tuple[Field, int]:
    """A field without a length."""
    if wire not in {VARINT, FIXED64, FIXED32}:
        what = "The end of a group that has not begun." if wire == END_GROUP else f"{wire} is no wire type."
        raise _Fault(what)
    kind = _TYPES[known.type] if known else ""
    fits = known is not None and _WIRE_OF.get(kind) == wire
    shown = kind if fits else _WIRE_TYPES[wire]
    if wire == VARINT:
        number, at = _varint(view, at)
        value: Value = _of_varint(number, shown)
    else:
        size = 8 if wire == FIXED64 else 4
        if len(view) - at < size:
            raise _Fault("The bytes end within a number.")
        (value,) = struct.unpack_from(_FORMATS[shown], view, at)
        at += size
    note = _name_of(known, value) if fits else _OTHER if known else ""
    shown = known.enum_type.full_name if fits and known is not None and known.enum_type else shown
    return Field(number=0, type=shown, value=value, note=note), at


def _of_varint(number: int, kind: str) -> int | bool:
    if kind == "bool":
        return bool(number)
    if kind in {"sint32", "sint64"}:
        return (number >> 1) ^ -(number & 1)
    if kind in {"int32", "enum"}:
        number &= (1 << 32) - 1
        return number - (1 << 32) if number >> 31 else number
    if kind == "int64":
        return number - (1 << 64) if number >> 63 else number
    return number & ((1 << 32) - 1) if kind == "uint32" else number


def _name_of(known: FieldDescriptor | None, value: Value) -> str:
    """The name of an enum's number."""
    if known is None or known.enum_type is None or not isinstance(value, int):
        return ""
    found = known.enum_type.values_by_number.get(value)
    return found.name if found else "not in the contract"


def _packed(view: memoryview, size: int, known: FieldDescriptor) -> Field:
    kind = _TYPES[known.type]
    values: list[Value] = []
    at = 0
    while at < len(view) and len(values) < _MAX_PACKED:
        field, at = _short(view, at, _WIRE_OF[kind], known)
        values.append(field.note or field.value)
    note = "packed" if at == size else f"packed; {size - at} bytes are not shown"
    return Field(number=0, type=kind, value=values, size=size, note=note)


def _text(view: memoryview, size: int, kind: str) -> Field:
    data = bytes(view[: 4 * MAX_TEXT])
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        whole = len(data) == size or error.start < len(data) - 4
        if whole:
            return replace(_bytes(view, size, kind), note="not UTF-8")
        text = data[: error.start].decode()
    hidden = without(text)
    return Field(
        number=0, type=kind, value=hidden[:MAX_TEXT], size=size, note=_SECRET if hidden != text else ""
    )


def _bytes(view: memoryview, size: int, kind: str) -> Field:
    begin = str(view[: 16 * HEAD_BYTES], "latin-1")
    if without(begin) != begin:
        return Field(number=0, type=kind, size=size, note=_SECRET)
    return Field(number=0, type=kind, value=bytes(view[:HEAD_BYTES]), size=size)


def _hides(field: Field) -> bool:
    """Whether there is a secret in it: then its bytes are not shown."""
    return field.note == _SECRET or (
        field.inner is not None and any(not one.raw for one in field.inner.fields)
    )


def _printable(view: memoryview) -> bool:
    """Whether it is a text that people can read."""
    if len(view) > MAX_TEXT:
        return False
    try:
        text = str(view, "utf-8")
    except UnicodeDecodeError:
        return False
    return all(one.isprintable() or one in "\n\r\t" for one in text)


def _meaning(name: str, inner: Fields) -> str:
    """What a time is, for people."""
    if name not in {"google.protobuf.Timestamp", "google.protobuf.Duration"} or inner.problem:
        return ""
    values = {field.number: field.value for field in inner.fields}
    seconds, nanos = values.get(1, 0), values.get(2, 0)
    if not isinstance(seconds, int) or not isinstance(nanos, int):
        return ""
    if name.endswith("Duration"):
        return f"{seconds + nanos / 1e9:g} s"
    try:
        moment = datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds, microseconds=nanos // 1000)
    except OverflowError:
        return ""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
