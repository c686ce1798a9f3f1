"""Reading messages of clients: what cannot be read is an error of the tree that names the fault.

Replaces connectrpc's codecs for google.protobuf messages, whose errors quote the library. Messages come in a
Box, because connectrpc keeps the last message of a stream until the next one comes, however long that is:
what it keeps is then an empty box. `guard.Handlers` takes them out.
"""

from functools import cache
from typing import Any

from connectrpc.codec import Codec
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.json_format import MessageToJson, Parse, ParseError
from google.protobuf.message import DecodeError, Message

from conexiones.errors import InvalidUtf8, MalformedMessage
from conexiones.services.heavy import Heavy, whole

MAX_JSON_MARKS = 100_000
"""Commas, brackets and braces in a JSON message. A message of ours has few, however long its base64; without
a limit, 64 MiB of `[[],[],…` would cost gigabytes of Python objects."""


class Box:
    """A message until it is taken."""

    __slots__ = ("_message",)

    def __init__(self, message: Any) -> None:
        self._message = message

    def take(self) -> Any:
        message, self._message = self._message, None
        return message


class ProtoCodec:
    """The binary format."""

    def name(self) -> str:
        return "proto"

    def encode(self, message: Message | Heavy) -> bytes:
        return whole(message).SerializeToString()

    def decode(self, data: bytes | bytearray, message_class: type[Any]) -> Any:
        return Box(decoded(data, message_class))


def decoded(data: bytes | bytearray, message_class: type[Any]) -> Any:
    """A message of the binary format. Raises MalformedMessage, InvalidUtf8."""
    try:
        return message_class.FromString(data)
    except DecodeError as error:
        descriptor = message_class.DESCRIPTOR
        bad = _invalid_text_field(descriptor, bytes(data))
        if bad is not None:
            raise InvalidUtf8(field=bad) from error
        raise MalformedMessage(type=descriptor.full_name) from error


class JsonCodec:
    """The JSON format (https://protobuf.dev/programming-guides/json)."""

    def name(self) -> str:
        return "json"

    def encode(self, message: Message | Heavy) -> bytes:
        return MessageToJson(whole(message), indent=None, ensure_ascii=False).encode()

    def decode(self, data: bytes | bytearray, message_class: type[Any]) -> Any:
        malformed = MalformedMessage(type=message_class.DESCRIPTOR.full_name)
        if sum(data.count(mark) for mark in (b",", b"[", b"{")) > MAX_JSON_MARKS:
            raise malformed
        message = message_class()
        try:
            Parse(str(data, "utf-8"), message, ignore_unknown_fields=True)
        except UnicodeError as error:
            raise InvalidUtf8 from error
        except (ParseError, ValueError, TypeError, RecursionError) as error:
            raise malformed from error
        return Box(message)


def codecs() -> list[Codec[Any, Any]]:
    """For every connectrpc application of the server."""
    return [ProtoCodec(), JsonCodec()]


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
    """A class with the same fields on the wire, its own text fields read as bytes."""
    source = descriptor_pool.Default().FindMessageTypeByName(full_name)
    file = descriptor_pb2.FileDescriptorProto(name=f"{full_name}.bytes", package="bytes", syntax="proto3")
    message = file.message_type.add()
    source.CopyToProto(message)
    message.ClearField("oneof_decl")
    for field in message.field:
        field.ClearField("oneof_index")
        # Submessages too: they are the same on the wire, and their inside is not looked at.
        if field.type in {field.TYPE_STRING, field.TYPE_MESSAGE}:
            field.type = field.TYPE_BYTES
        field.ClearField("type_name")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"bytes.{source.name}"))
