"""The fields of messages, beside what protobuf itself reads."""

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from conexiones.gen.user_pb2 import GetImage, GetUserReply, GetUserRequest
from conexiones.secret_form import TOKEN, made_of
from conexiones.wire.contract import Contract
from conexiones.wire.events import HEAD_BYTES, KEPT_BYTES, MAX_DEPTH, MAX_FIELDS, Field, Fields
from conexiones.wire.protobuf import Reader
from tests.wire.made import SCALARS, contract, every

OURS = Contract.ours()


def read(data: bytes, name: str | None = None, total: int | None = None) -> Fields:
    return Reader(OURS).read(data, OURS.message(name) if name else None, total)


def flat(fields: Fields) -> list[Field]:
    return [
        one
        for field in fields.fields
        for one in [field, *(flat(field.inner) if field.inner is not None else [])]
    ]


def test_the_fields_of_a_request() -> None:
    found = read(
        GetUserRequest(name="Ana", pow=-7, image=b"\xff" * 100).SerializeToString(), "GetUserRequest"
    )
    name, pow, image = found.fields
    assert (name.number, name.name, name.type, name.value, name.raw.hex()) == (
        1,
        "name",
        "string",
        "Ana",
        "0a03416e61",
    )
    assert (pow.number, pow.name, pow.type, pow.value, pow.length) == (2, "pow", "int32", -7, 11)
    assert (image.type, image.size, image.length) == ("bytes", 100, 102)
    assert image.value == b"\xff" * HEAD_BYTES
    assert image.raw == b"\x1a\x64" + b"\xff" * (HEAD_BYTES - 2)
    assert (found.left, found.problem) == (0, "")


@pytest.mark.parametrize("kind", SCALARS)
def test_every_type_alone_and_in_lists(kind: str) -> None:
    value = SCALARS[kind]
    data = every(**{f"a_{kind}": value, f"some_{kind}": [value, value]})
    found = Reader(contract()).read(data, contract().message("Every"))
    assert not found.problem
    alone, *listed = found.fields
    assert (alone.name, alone.type, alone.value) == (f"a_{kind}", kind, value)
    if kind in {"string", "bytes"}:
        assert [field.value for field in listed] == [value, value]
    else:
        assert [(field.value, field.note) for field in listed] == [([value, value], "packed")]


def test_messages_in_messages_and_names_of_numbers() -> None:
    data = every(inner={"a_string": "x", "colour": 1}, colour=2)
    inner, colour = Reader(contract()).read(data, contract().message("every.Every")).fields
    assert inner.inner is not None
    assert [(one.name, one.value, one.note) for one in inner.inner.fields] == [
        ("a_string", "x", ""),
        ("colour", 1, "RED"),
    ]
    assert (colour.type, colour.value, colour.note) == ("every.Colour", 2, "not in the contract")


def test_what_times_and_details_mean() -> None:
    reply = GetUserReply()
    reply.user.create_time.CopyFrom(Timestamp(seconds=1_700_000_000, nanos=120_000_000))
    (time,) = [
        one for one in flat(read(reply.SerializeToString(), "GetUserReply")) if one.name == "create_time"
    ]
    assert time.note == "2023-11-14T22:13:20.120Z"
    detail = Any()
    detail.Pack(ErrorInfo(reason="EMPTY_NAME"))
    status = read(Status(code=3, details=[detail]).SerializeToString(), "google.rpc.Status")
    (reason,) = [one for one in flat(status) if one.name == "reason"]
    assert reason.value == "EMPTY_NAME"
    value = next(one for one in flat(status) if one.name == "value")
    assert value.type == "google.rpc.ErrorInfo"


def test_fields_that_the_contract_does_not_have() -> None:
    data = every(a_string="text", a_double=0.5, some_float=[1.0], inner={"a_int32": 1}, a_bytes=b"\xff\xfe")
    found = Reader(contract()).read(data, None)
    assert not found.problem
    assert {(one.number, one.type) for one in found.fields} == {
        (1, "fixed64"),
        (9, "string?"),
        (10, "bytes?"),
        (50, "message?"),
        (102, "bytes?"),
    }
    assert all(one.name == "" for one in found.fields)


def test_another_wire_type_than_in_the_contract() -> None:
    (name,) = read(b"\x08\x07", "GetUserRequest").fields
    assert (name.name, name.type, name.value, name.note) == (
        "name",
        "varint",
        7,
        "another wire type than in the contract",
    )


def test_groups() -> None:
    (group,) = read(b"\x0b\x10\x07\x0c").fields
    assert (group.type, group.raw.hex()) == ("group", "0b10070c")
    assert group.inner is not None
    assert [(one.number, one.value) for one in group.inner.fields] == [(2, 7)]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x0a\x05Ana", "At byte 0: Field 1 is said to have 5 bytes, and 3 are left."),
        (b"\x0a", "At byte 0: The bytes end within a number."),
        (b"\x10" + b"\xff" * 10, "At byte 0: A number has more than 10 bytes."),
        (b"\x00\x00", "At byte 0: 0 is not the number of a field."),
        (b"\x10\x07\x0f", "At byte 2: 7 is no wire type."),
        (b"\x0c", "At byte 0: The end of a group that has not begun."),
        (b"\x0b\x14", "At byte 0: The group 1 ends as 2."),
        (b"\x0d\x00", "At byte 0: The bytes end within a number."),
    ],
)
def test_what_is_wrong_is_said_with_its_place(data: bytes, says: str) -> None:
    assert read(data, "GetUserRequest").problem == says


def test_what_is_wrong_in_a_message_within() -> None:
    found = read(b"\x52\x02\x0a\x05", "GetUserReply")
    assert found.problem == "In field 10: At byte 0: Field 1 is said to have 5 bytes, and 0 are left."
    assert [one.name for one in found.fields] == ["user"]


def test_a_message_of_which_only_the_beginning_is_kept() -> None:
    data = GetUserRequest(name="Ana", image=bytes(2 * KEPT_BYTES)).SerializeToString()
    found = read(data[:KEPT_BYTES], "GetUserRequest", len(data))
    assert [(one.name, one.size) for one in found.fields] == [("name", 3), ("image", 2 * KEPT_BYTES)]
    assert (found.left, found.problem) == (0, "")
    begun = GetImage(image=bytes(100)).SerializeToString()
    assert read(begun[:1], "GetImage", len(begun)) == Fields(left=len(begun))


def test_the_limits_of_what_is_shown() -> None:
    many = read(b"\x10\x07" * (MAX_FIELDS + 10), "GetUserRequest")
    assert (len(many.fields), many.left, many.problem) == (MAX_FIELDS, 20, "")
    deep = b""
    for _ in range(MAX_DEPTH + 8):
        deep = b"\x92\x03" + _size(deep) + deep
    found = Reader(contract()).read(deep, contract().message("Every"))
    assert not found.problem
    assert MAX_DEPTH <= len(flat(found)) <= MAX_DEPTH + 1


def _size(data: bytes) -> bytes:
    return bytes([len(data)]) if len(data) < 128 else bytes([0x80 | len(data) & 0x7F, len(data) >> 7])


def test_secrets_are_hidden_with_their_bytes_and_those_of_what_they_are_in() -> None:
    secret = made_of(TOKEN, bytes(range(32)))
    request = GetUserRequest(name=f"Bearer {secret}").SerializeToString()
    for found in (read(request, "GetUserRequest"), read(request)):
        (name,) = found.fields
        assert name.value == "Bearer cnx_(hidden)"
        assert name.raw == b""
    jwt = f"eyJ{'a' * 30}.eyJ{'b' * 30}.{'c' * 30}"
    for data in (GetUserRequest(name=f"Bearer {jwt}").SerializeToString(), every(a_bytes=jwt.encode())):
        assert jwt[6:20] not in repr(read(data))
        assert b"aaaa".hex() not in repr(read(data))
    within = every(inner={"a_string": secret, "a_bytes": secret.encode()})
    for kind in (contract().message("Every"), None):
        found = Reader(contract()).read(within, kind)
        assert secret[4:16].encode().hex() not in repr(found).lower()
        assert secret[4:16] not in repr(found)
