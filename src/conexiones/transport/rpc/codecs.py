"""The formats of messages: protobuf and its JSON. For a message that cannot be read, the error names the
fault."""

import re
from abc import ABC, abstractmethod
from functools import cache
from typing import Any, ClassVar

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.json_format import MessageToJson, Parse, ParseError
from google.protobuf.message import DecodeError, Message

from conexiones.errors import InvalidUtf8, MalformedMessage
from conexiones.services.payload import WithPayload
from conexiones.transport.chain.memory import COPIES

_OBJECT = re.compile(rb"\s*\{")

MAX_JSON_MARKS = 100_000
"""Commas, brackets and braces in a JSON message. A message of ours has few, however long its base64; without
a limit, 64 MiB of `[[],[],…` would cost gigabytes of Python objects."""


class Codec(ABC):
    """One format."""

    copies: ClassVar[int]
    """The most copies of a message that are in memory at a time, from its body to the decoded fields."""

    @abstractmethod
    def encode(self, message: Message | WithPayload) -> list[bytes]:
        """The message, as bytes that follow one another."""

    @abstractmethod
    def decode(self, data: bytes, message: type[Message]) -> Message:
        """Raises MalformedMessage, InvalidUtf8."""


class ProtobufCodec(Codec):
    """The binary format (https://protobuf.dev/programming-guides/encoding)."""

    copies = COPIES

    def encode(self, message: Message | WithPayload) -> list[bytes]:
        return message.parts() if isinstance(message, WithPayload) else [message.SerializeToString()]

    def decode(self, data: bytes, message: type[Message]) -> Message:
        try:
            return message.FromString(data)
        except DecodeError as error:
            descriptor = message.DESCRIPTOR
            bad = _invalid_text_field(descriptor, data)
            if bad is not None:
                raise InvalidUtf8(field=bad) from error
            raise MalformedMessage(type=descriptor.full_name) from error


class JsonCodec(Codec):
    """The JSON format (https://protobuf.dev/programming-guides/json)."""

    copies = 8

    def encode(self, message: Message | WithPayload) -> list[bytes]:
        whole = message.whole() if isinstance(message, WithPayload) else message
        return [MessageToJson(whole, indent=None, ensure_ascii=False).encode()]

    def decode(self, data: bytes, message: type[Message]) -> Message:
        malformed = MalformedMessage(type=message.DESCRIPTOR.full_name)
        if sum(data.count(mark) for mark in (b",", b"[", b"{")) > MAX_JSON_MARKS:
            raise malformed
        if not _OBJECT.match(data):  # Parse would take `[]`, or a string, for a message without fields
            raise malformed
        try:
            return Parse(str(data, "utf-8"), message(), ignore_unknown_fields=True)
        except UnicodeError as error:
            raise InvalidUtf8 from error
        except (ParseError, ValueError, TypeError, RecursionError) as error:
            raise malformed from error


PROTOBUF = ProtobufCodec()
JSON = JsonCodec()


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
