"""Messages whose large field of bytes is carried beside them: they are the same messages, in every form."""

import base64
import json
import random
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from conexiones.errors import InvalidUtf8, MalformedMessage
from conexiones.gen.conexiones.v1.images_pb2 import ListImagesRequest
from conexiones.gen.conexiones.v1.uploads_pb2 import WriteChunkRequest, WriteStreamRequest
from conexiones.gen.user_pb2 import GetImage, GetUserRequest
from conexiones.transport.rpc.codecs import JSON, PROTOBUF, Codec
from conexiones.transport.rpc.payloads import LEAST, MOST_SINGLE, Carried, Payload, from_base64

CONTENT = random.Random(7).randbytes(3 * LEAST + 1)
USER = GetUserRequest(name="Ana", pow=-7, image=CONTENT)
PAYLOAD = Payload.of(GetUserRequest.DESCRIPTOR)


def decoded(
    data: bytes, codec: Codec = PROTOBUF, message: type[Message] = GetUserRequest
) -> Message | Carried:
    return codec.decode(data, message, Payload.of(message.DESCRIPTOR))


def encoded(message: Message, codec: Codec) -> bytes:
    return b"".join(codec.encode(message))


@pytest.mark.parametrize("codec", [PROTOBUF, JSON])
@pytest.mark.parametrize(
    "message",
    [
        USER,
        GetImage(image=CONTENT),
        WriteChunkRequest(upload_id="a", offset=2**40, data=CONTENT, crc32c=7, writer_epoch=3),
        WriteStreamRequest(upload_id="a", offset=1, data=CONTENT),
    ],
)
def test_it_has_all_the_fields_of_the_message(message: Message, codec: Codec) -> None:
    found = decoded(encoded(message, codec), codec, type(message))
    assert isinstance(found, Carried)
    for field in message.DESCRIPTOR.fields:
        assert getattr(found, field.name) == getattr(message, field.name)
    if "crc32c" in message.DESCRIPTOR.fields_by_name:
        assert found.HasField("crc32c") == message.HasField("crc32c")


@pytest.mark.parametrize("codec", [PROTOBUF, JSON])
def test_it_can_become_the_message(codec: Codec) -> None:
    assert decoded(encoded(USER, codec), codec).whole() == USER


def test_the_bytes_of_protobuf_are_not_copied() -> None:
    data = bytearray(USER.SerializeToString())
    found = PROTOBUF.decode(data, GetUserRequest, PAYLOAD)
    assert isinstance(found.image, memoryview)
    assert found.image.obj is data


@pytest.mark.parametrize("codec", [PROTOBUF, JSON])
def test_a_short_one_is_an_ordinary_message(codec: Codec) -> None:
    found = decoded(encoded(GetUserRequest(image=bytes(LEAST // 2)), codec), codec)
    assert isinstance(found, GetUserRequest)


def test_classes_without_one_field_of_bytes_have_no_payload() -> None:
    assert Payload.of(ListImagesRequest.DESCRIPTOR) is None


WIRE = USER.SerializeToString()


@pytest.mark.parametrize(
    "data",
    [
        WIRE + WIRE,  # the last one counts
        GetUserRequest(image=CONTENT).SerializeToString() + GetUserRequest(name="Eva").SerializeToString(),
        WIRE + b"\x78\x01" * 100,  # many unknown fields
        WIRE + b"\x7b\x7c",  # an unknown group
        WIRE + b"\x7d1234" + b"\x7912345678",
        WIRE + b"\x90\x90\x00\x01",
    ],
)
def test_unusual_ones_are_what_protobuf_says(data: bytes) -> None:
    expected = GetUserRequest.FromString(data)
    found = decoded(data)
    assert (found.name, found.pow, found.image) == (expected.name, expected.pow, expected.image)


@pytest.mark.parametrize("data", [WIRE[:-1], WIRE + b"\x7f", WIRE + b"\x80" * 11, WIRE + b"\x7a\x05abc"])
def test_malformed_ones_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decoded(data)


def test_a_text_that_is_not_utf8_is_named() -> None:
    with pytest.raises(InvalidUtf8) as caught:
        decoded(b"\x0a\x02\xff\xfe" + GetUserRequest(image=CONTENT).SerializeToString())
    assert caught.value.field == "name"


@pytest.mark.parametrize("codec", [PROTOBUF, JSON])
def test_what_is_long_besides_the_payload_is_refused(codec: Codec) -> None:
    """Reading it would keep all other calls waiting."""
    for message in (
        GetUserRequest(name="a" * MOST_SINGLE),
        GetUserRequest(name="a" * MOST_SINGLE, image=CONTENT),
    ):
        with pytest.raises(MalformedMessage):
            decoded(encoded(message, codec), codec)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_whatever_is_around_it_protobuf_says_the_same(before: bytes, behind: bytes) -> None:
    data = before + GetUserRequest(image=CONTENT).SerializeToString() + behind
    try:
        expected: Any = PROTOBUF.decode(data, GetUserRequest)
    except (MalformedMessage, InvalidUtf8):
        expected = None
    try:
        found: Any = decoded(data)
    except (MalformedMessage, InvalidUtf8):
        found = None
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        assert (found.name, found.pow, found.image) == (expected.name, expected.pow, expected.image)


TEXT = base64.b64encode(CONTENT).decode()


@pytest.mark.parametrize(
    "text",
    [
        f'{{"image":"{TEXT}"}}',
        f'{{ "image" :\n "{TEXT}" , "name" : "Ana" }}',
        f'{{"image":"{TEXT.rstrip("=")}"}}',
        f'{{"image":"{TEXT.replace("+", "-").replace("/", "_")}"}}',
        f'{{"unknown":{{"image":"AAAA"}},"image":"{TEXT}"}}',
        f'{{"name":"\\"image\\":","image":"{TEXT}"}}',
    ],
)
def test_json_in_every_spelling(text: str) -> None:
    found = decoded(text.encode(), JSON)
    assert isinstance(found, Carried)
    assert bytes(found.image) == CONTENT
    behind = memoryview(b"12345" + text.encode())[5:]
    assert bytes(JSON.decode(behind, GetUserRequest, PAYLOAD).image) == CONTENT


@pytest.mark.parametrize("escapes", [{"/": "\\/"}, {"+": "\\u002B"}, {"=": "\\u003d", "/": "\\u002f"}])
def test_json_with_the_escapes_of_other_libraries(escapes: dict[str, str]) -> None:
    text = json.dumps({"image": TEXT})
    for char, escape in escapes.items():
        text = text.replace(char, escape)
    found = decoded(text.encode(), JSON)
    assert (type(found), bytes(found.image)) == (Carried, CONTENT)


def test_json_with_escapes_that_nobody_needs_is_read_by_the_library() -> None:
    short = TEXT[: 4 * LEAST]
    found = decoded(json.dumps({"image": short}).replace("A", "\\u0041").encode(), JSON)
    assert (type(found), found.image) == (GetUserRequest, base64.b64decode(short))


def test_json_in_which_another_field_looks_like_it() -> None:
    other = base64.b64encode(bytes(2 * LEAST)).decode()
    text = json.dumps({"unknown": {"image": other}, "name": "Ana", "image": TEXT})
    found = decoded(text.encode(), JSON)
    assert (found.name, bytes(found.image)) == ("Ana", CONTENT)
    text = json.dumps({"image": TEXT, "unknown": {"image": other}})
    assert bytes(decoded(text.encode(), JSON).image) == CONTENT


@pytest.mark.parametrize(
    "text", ["", '{"image":"', f'{{"image":"{TEXT}"', f'{{"image":"{TEXT}"}}}}', f'["{TEXT}"]']
)
def test_json_that_is_malformed(text: str) -> None:
    with pytest.raises(MalformedMessage):
        decoded(text.encode(), JSON)


@pytest.mark.parametrize("size", [0, 1, 2, 3, (256 << 10) // 4 * 3 - 1, (256 << 10) // 4 * 3, 1_000_003])
def test_base64_of_every_length(size: int) -> None:
    content = random.Random(size).randbytes(size)
    for text in (base64.b64encode(content), base64.urlsafe_b64encode(content).rstrip(b"=")):
        assert bytes(from_base64(memoryview(text)) or b"") == content


@pytest.mark.parametrize("text", [b"A", b"AA=A", b"A A=", b"\xff\xff\xff\xff", b"AA*A"])
def test_what_is_no_base64(text: bytes) -> None:
    assert from_base64(memoryview(text)) is None
