"""The formats of messages: what cannot be read is an error that names the fault, whatever the message."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from conexiones.errors import InvalidUtf8, MalformedMessage
from conexiones.gen import user_pb2
from conexiones.gen.conexiones.v1 import errors_pb2, images_pb2, status_pb2, uploads_pb2
from conexiones.transport.rpc.codecs import JSON, MAX_JSON_MARKS, PROTOBUF

FILES = [module.DESCRIPTOR for module in (user_pb2, errors_pb2, images_pb2, status_pb2, uploads_pb2)]


def descriptors() -> Iterator[Descriptor]:
    """Of every message of our contracts, nested ones too."""

    def all_of(some: Any) -> Iterator[Descriptor]:
        for one in some:
            if not one.GetOptions().map_entry:
                yield one
                yield from all_of(one.nested_types)

    for file in FILES:
        yield from all_of(file.message_types_by_name.values())


CLASSES = {one.full_name: message_factory.GetMessageClass(one) for one in descriptors()}
REQUESTS = sorted(
    {
        method.input_type.full_name
        for file in FILES
        for service in file.services_by_name.values()
        for method in service.methods
    }
)
TEXTS = [
    (name, field)
    for name, message in CLASSES.items()
    for field in message.DESCRIPTOR.fields
    if field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated
]
"""Every field of text, with the name of its message."""

SAMPLES = {
    FieldDescriptor.CPPTYPE_INT32: 7,
    FieldDescriptor.CPPTYPE_INT64: 2**33,
    FieldDescriptor.CPPTYPE_UINT32: 2**32 - 1,
    FieldDescriptor.CPPTYPE_UINT64: 2**64 - 1,
    FieldDescriptor.CPPTYPE_DOUBLE: 0.5,
    FieldDescriptor.CPPTYPE_FLOAT: 0.5,
    FieldDescriptor.CPPTYPE_BOOL: True,
    FieldDescriptor.CPPTYPE_ENUM: 1,
}


def sample(field: Any) -> Any:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return b"\xff\xfe"
    if field.type == FieldDescriptor.TYPE_STRING:
        return "ñandú"
    return SAMPLES[field.cpp_type]


def filled(message: Message, *, without: FieldDescriptor | None = None, depth: int = 3) -> Message:
    """The message with something in every field, of a oneof in the last one."""
    for field in message.DESCRIPTOR.fields:
        if field is without or (without and without.containing_oneof is field.containing_oneof is not None):
            continue
        if field.type == FieldDescriptor.TYPE_MESSAGE and field.message_type.GetOptions().map_entry:
            getattr(message, field.name)["ñandú"] = "text"
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            if depth:
                inner = getattr(message, field.name)
                filled(inner.add() if field.is_repeated else inner, depth=depth - 1)
                if not field.is_repeated:
                    inner.SetInParent()
        elif field.is_repeated:
            getattr(message, field.name).extend([sample(field)] * 2)
        else:
            setattr(message, field.name, sample(field))
    return message


def bad_text(field: FieldDescriptor) -> bytes:
    """The field on the wire, with text that is not UTF-8."""
    tag = field.number << 3 | 2
    return (bytes((tag,)) if tag < 0x80 else bytes((tag & 0x7F | 0x80, tag >> 7))) + b"\x02\xc3("


@pytest.mark.parametrize("name", CLASSES)
def test_what_is_written_is_read(name: str) -> None:
    message = filled(CLASSES[name]())
    for codec in (PROTOBUF, JSON):
        encoded = b"".join(codec.encode(message))
        expected = json_form(message) if codec is JSON else message
        assert codec.decode(encoded, CLASSES[name]) == expected
    assert message == filled(CLASSES[name]()), "it is left as it was"


def json_form(message: Message) -> Message:
    """A copy, in which errors have no details."""
    copy = type(message).FromString(message.SerializeToString())
    for inner in [copy, *_inside(copy)]:
        if "details" in inner.DESCRIPTOR.fields_by_name:
            inner.ClearField("details")
    return copy


def _inside(message: Message) -> Iterator[Message]:
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE and not field.message_type.GetOptions().map_entry:
            for one in value if field.is_repeated else [value]:
                yield one
                yield from _inside(one)


@pytest.mark.parametrize(("name", "field"), TEXTS, ids=lambda value: getattr(value, "name", value))
@pytest.mark.parametrize("full", [False, True], ids=["alone", "among all others"])
def test_text_that_is_no_utf_8_is_named(name: str, field: FieldDescriptor, full: bool) -> None:
    """Among enums, maps, oneofs, optional fields and messages within."""
    others = filled(CLASSES[name](), without=field).SerializeToString() if full else b""
    for data in (bad_text(field) + others, others + bad_text(field)):
        with pytest.raises(InvalidUtf8) as caught:
            PROTOBUF.decode(data, CLASSES[name])
        assert caught.value.field == field.name


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize(
    "data", [b"\x0a\x7fabc", b"\x0b", b"\x00", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"]
)
def test_what_is_no_message_is_named(name: str, data: bytes) -> None:
    with pytest.raises(MalformedMessage) as caught:
        PROTOBUF.decode(data, CLASSES[name])
    assert caught.value.facts == {"type": name}


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize(
    "data", ["", "null", "1", '"name"', "[]", "[{}]", "{", "{}}", "\ufeff{}", "{'a': 1}"]
)
def test_what_is_no_object_is_no_message(name: str, data: str) -> None:
    with pytest.raises(MalformedMessage) as caught:
        JSON.decode(data.encode(), CLASSES[name])
    assert caught.value.facts == {"type": name}


@pytest.mark.parametrize("data", [b"{}", b" {} ", b"\r\n\t{}\n", b'{"later": [1, {"a": null}]}'])
def test_an_object_is_a_message(data: bytes) -> None:
    assert JSON.decode(data, CLASSES["user.GetUserRequest"]) == user_pb2.GetUserRequest()


def test_json_that_is_not_utf_8() -> None:
    with pytest.raises(InvalidUtf8):
        JSON.decode(b'{"name": "\xc3("}', CLASSES["user.GetUserRequest"])


@pytest.mark.parametrize("depth", [1000, 5000, MAX_JSON_MARKS - 1])
@pytest.mark.parametrize(("opening", "middle", "closing"), [("[", "", "]"), ('{"a":', "1", "}")])
def test_json_deeper_than_it_may_be(depth: int, opening: str, middle: str, closing: str) -> None:
    deep = opening * depth + middle + closing * depth
    for data in (deep, f'{{"name": {deep}}}'):
        with pytest.raises(MalformedMessage):
            JSON.decode(data.encode(), CLASSES["user.GetUserRequest"])


@pytest.mark.parametrize("text", ["!!!", "#AAA", "AAAA=AAA", "A", "QUJD\\u0000", "\u00e9AAA", "data:,QUJD"])
def test_bytes_in_json_that_are_no_base64(text: str) -> None:
    """Neither ignored nor read without what is no base64."""
    user, image = user_pb2.GetUserRequest, uploads_pb2.UploadImageRequest
    listed = images_pb2.ListImagesRequest
    for message, data in (
        (user, f'{{"name": "Ana", "image": "{text}"}}'),
        (user, f'{{"name": "Ana", "image": "{"QUJD" * 99_999}{text}"}}'),
        (image, f'{{"requestId": "1", "sha256": "{text}"}}'),
        (listed, f'{{"sha256": ["QUJD", "{text}"]}}'),
    ):
        with pytest.raises(MalformedMessage):
            JSON.decode(data.encode(), message)


@pytest.mark.parametrize("text", ["QUJD", "QUJ DR A==", "QUJD\\r\\nRA", "-_-_", "+/+/", "", "QUI", "QUI="])
def test_bytes_in_json_as_others_write_them(text: str) -> None:
    read: Any = JSON.decode(f'{{"name": "Ana", "image": "{text}"}}'.encode(), user_pb2.GetUserRequest)
    assert len(read.image) == len(text.replace(" ", "").replace("\\r\\n", "").rstrip("=")) * 3 // 4


def test_json_of_many_parts() -> None:
    with pytest.raises(MalformedMessage):
        JSON.decode(b'{"a": [' + b"1," * MAX_JSON_MARKS + b"1]}", CLASSES["user.GetUserRequest"])
    text = "," * 1000
    message = JSON.decode(json.dumps({"name": text}).encode(), CLASSES["user.GetUserRequest"])
    assert message == user_pb2.GetUserRequest(name=text)


@settings(max_examples=300)
@given(st.sampled_from(sorted(CLASSES)), st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(name: str, data: bytes) -> None:
    with suppress(MalformedMessage, InvalidUtf8):
        PROTOBUF.decode(data, CLASSES[name])


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150)
@given(st.data())
def test_any_json_is_read_or_refused(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(CLASSES)))
    names = [field.json_name for field in CLASSES[name].DESCRIPTOR.fields] or ["x"]
    value = data.draw(st.dictionaries(st.sampled_from(names), values, max_size=4))
    with suppress(MalformedMessage, InvalidUtf8):
        JSON.decode(json.dumps(value).encode(), CLASSES[name])
