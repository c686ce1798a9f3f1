"""The formats of messages: protobuf and its JSON. For a message that cannot be read, the error names the
fault."""

import json
import re
from abc import ABC, abstractmethod
from functools import cache
from typing import Any, TypeAlias

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToJson, Parse, ParseError
from google.protobuf.message import DecodeError, Message

from conexiones.errors import InvalidUtf8, MalformedMessage
from conexiones.gen.conexiones.v1.errors_pb2 import Failure
from conexiones.gen.user_pb2 import Error
from conexiones.services.payload import WithPayload
from conexiones.transport.rpc.payloads import (
    LEAST,
    MOST_JSON_REST,
    MOST_REST,
    MOST_SINGLE,
    Carried,
    Payload,
    cut_json,
    cut_protobuf,
    from_base64,
)

_OBJECT = re.compile(rb"\s*\{")

MAX_JSON_MARKS = 5_000
"""Commas, brackets and braces in a JSON message. One of ours has a thousand at most, for the digests of a
list; each takes two microseconds."""

_FEW_JSON_MARKS = 250
"""Of a message with more of them, the reading takes so long that it is for a thread."""

_LONG_JSON = 256 << 10
"""The same of its bytes."""


Data: TypeAlias = bytes | bytearray | memoryview


class Codec(ABC):
    """One format."""

    def takes_long(self, data: Data) -> bool:
        """Whether a message is to be decoded in a thread, which gives way to others."""
        return False

    @abstractmethod
    def encode(self, message: Message | WithPayload) -> list[bytes]:
        """The message, as bytes that follow one another."""

    @abstractmethod
    def decode(self, data: Data, message: type[Message], payload: Payload | None = None) -> Message | Carried:
        """The message; with a large payload it may be a Carried, whose content is a view of the data.

        Raises InvalidUtf8, and MalformedMessage, also if too many bytes are not the payload.
        """


class ProtobufCodec(Codec):
    """The binary format (https://protobuf.dev/programming-guides/encoding)."""

    def encode(self, message: Message | WithPayload) -> list[bytes]:
        return message.parts() if isinstance(message, WithPayload) else [message.SerializeToString()]

    def decode(self, data: Data, message: type[Message], payload: Payload | None = None) -> Message | Carried:
        if payload and len(data) >= LEAST and (cut := cut_protobuf(memoryview(data), payload)):
            rest, content = cut
            return Carried(_from_protobuf(rest, message), payload, content)
        return _from_protobuf(data, message)


class JsonCodec(Codec):
    """The JSON format (https://protobuf.dev/programming-guides/json).

    Errors within replies have no `details`: a google.protobuf.Any in JSON can be read only by a client that
    has registered its type, and the whole reply could not be read by others. Other fields say the same.
    """

    def takes_long(self, data: Data) -> bool:
        size = len(data)  # a short one has no room for many marks
        return size >= _LONG_JSON or (size > _FEW_JSON_MARKS and _marks(bytes(data)) > _FEW_JSON_MARKS)

    def encode(self, message: Message | WithPayload) -> list[bytes]:
        whole = message.whole() if isinstance(message, WithPayload) else message
        return [MessageToJson(_without_details(whole), indent=None, ensure_ascii=False).encode()]

    def decode(self, data: Data, message: type[Message], payload: Payload | None = None) -> Message | Carried:
        if payload and len(data) >= LEAST and (cut := cut_json(memoryview(data), payload)):
            read = _from_json(cut.rest, message)
            text = memoryview(data)[cut.begin : cut.end]
            if getattr(read, payload.name) == cut.mark and (content := from_base64(text)) is not None:
                return Carried(read, payload, content)
        return _from_json(data, message)


_WITH_DETAILS = frozenset({Error.DESCRIPTOR, Failure.DESCRIPTOR})


def _without_details(message: Message) -> Message:
    if message.DESCRIPTOR not in _WITH_DETAILS and not _leading_to_details(message.DESCRIPTOR):
        return message
    copy = type(message)()
    copy.CopyFrom(message)
    _clear_details(copy)
    return copy


def _clear_details(message: Any) -> None:
    if message.DESCRIPTOR in _WITH_DETAILS:
        message.ClearField("details")
    for field in _leading_to_details(message.DESCRIPTOR):
        found = getattr(message, field.name)
        for one in found if field.is_repeated else [found] if message.HasField(field.name) else []:
            _clear_details(one)


@cache
def _leading_to_details(descriptor: Descriptor) -> tuple[FieldDescriptor, ...]:
    """The fields of a message in which there may be errors."""

    def leads(found: Descriptor | None, seen: frozenset[Descriptor]) -> bool:
        if found is None or found in seen or found.GetOptions().map_entry:
            return False
        return found in _WITH_DETAILS or any(
            leads(field.message_type, seen | {found}) for field in found.fields
        )

    return tuple(field for field in descriptor.fields if leads(field.message_type, frozenset()))


PROTOBUF = ProtobufCodec()
JSON = JsonCodec()


def _from_protobuf(data: Data, message: type[Message]) -> Message:
    descriptor = message.DESCRIPTOR
    if len(data) > (MOST_REST if _has_list(descriptor) else MOST_SINGLE):
        raise MalformedMessage(type=descriptor.full_name)
    data = bytes(data)
    try:
        return message.FromString(data)
    except DecodeError as error:
        bad = _invalid_text_field(descriptor, data)
        if bad is not None:
            raise InvalidUtf8(field=bad) from error
        raise MalformedMessage(type=descriptor.full_name) from error


def _from_json(data: Data, message: type[Message]) -> Message:
    malformed = MalformedMessage(type=message.DESCRIPTOR.full_name)
    if len(data) > (MOST_JSON_REST if _has_list(message.DESCRIPTOR) else MOST_SINGLE):
        raise malformed
    data = bytes(data)
    if _marks(data) > MAX_JSON_MARKS:
        raise malformed
    if not _OBJECT.match(data):  # Parse would take `[]`, or a string, for a message without fields
        raise malformed
    try:
        read = Parse(str(data, "utf-8"), message(), ignore_unknown_fields=True)
    except UnicodeError as error:
        raise InvalidUtf8 from error
    except (ParseError, ValueError, TypeError, RecursionError) as error:
        raise malformed from error
    # Parse leaves out what is no base64, so that bytes would silently be others, or none.
    if _leading_to_bytes(message.DESCRIPTOR) and not _is_base64(json.loads(data), message.DESCRIPTOR):
        raise malformed
    return read


def _is_base64(value: Any, descriptor: Any) -> bool:
    """Whether all bytes in an object of JSON are base64. It may have line breaks."""
    if not isinstance(value, dict):
        return True  # null, or a message such as a timestamp, which is a text
    for field in _leading_to_bytes(descriptor):
        for name in {field.name, field.json_name} & value.keys():
            for one in value[name] if isinstance(value[name], list) else [value[name]]:
                if field.type == FieldDescriptor.TYPE_MESSAGE:
                    good = _is_base64(one, field.message_type)
                else:
                    good = not isinstance(one, str) or _decodes(one)
                if not good:
                    return False
    return True


def _decodes(text: str) -> bool:
    return text.isascii() and from_base64(memoryview(text.encode().translate(None, b" \t\r\n"))) is not None


@cache
def _leading_to_bytes(descriptor: Descriptor) -> tuple[FieldDescriptor, ...]:
    """The fields of a message that are bytes, or in which there may be some."""

    def leads(field: FieldDescriptor, seen: frozenset[Descriptor]) -> bool:
        found = field.message_type
        if found is None or found in seen or found.GetOptions().map_entry:
            return field.type == FieldDescriptor.TYPE_BYTES
        return any(leads(one, seen | {found}) for one in found.fields)

    return tuple(field for field in descriptor.fields if leads(field, frozenset({descriptor})))


@cache
def _has_list(descriptor: Descriptor) -> bool:
    return any(field.is_repeated for field in descriptor.fields)


def _marks(data: bytes) -> int:
    return sum(data.count(mark) for mark in (b",", b"[", b"{"))


def _invalid_text_field(descriptor: Any, data: bytes) -> str | None:
    """The first text field that is not UTF-8, in a message that is well formed but for that."""
    try:
        message = _with_bytes_for_text(descriptor.full_name).FromString(data)
    except DecodeError:
        return None
    for field in descriptor.fields:
        if field.type != field.TYPE_STRING or field.is_repeated:
            continue
        try:
            getattr(message, field.name).decode()
        except UnicodeDecodeError:
            return str(field.name)
    return None


@cache
def _with_bytes_for_text(full_name: str) -> type[Message]:
    """A class with the same fields on the wire, whose text fields are read as bytes."""
    source = descriptor_pool.Default().FindMessageTypeByName(full_name)
    file = descriptor_pb2.FileDescriptorProto(name=f"{full_name}.bytes", package="bytes", syntax="proto3")
    message = file.message_type.add()
    source.CopyToProto(message)
    message.ClearField("oneof_decl")
    message.ClearField("nested_type")
    message.ClearField("enum_type")
    for field in message.field:
        field.ClearField("oneof_index")
        field.ClearField("proto3_optional")
        # Submessages too: they are the same on the wire, and what is in them is not examined.
        if field.type in {field.TYPE_STRING, field.TYPE_MESSAGE}:
            field.type = field.TYPE_BYTES
        elif field.type == field.TYPE_ENUM:
            field.type = field.TYPE_INT32
        field.ClearField("type_name")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"bytes.{source.name}"))
