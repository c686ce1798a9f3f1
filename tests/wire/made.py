"""A contract with every type of field, and bytes of HTTP/2 as a client would send them."""

from collections.abc import Iterable
from functools import cache
from typing import Any

import hpack
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from conexiones.wire.contract import Contract
from conexiones.wire.frames import DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS

SCALARS = {
    "double": -0.5,
    "float": 0.25,
    "int64": -(2**63),
    "uint64": 2**64 - 1,
    "int32": -7,
    "fixed64": 2**63,
    "fixed32": 2**31,
    "bool": True,
    "string": "ñandú",
    "bytes": b"\0\xff",
    "uint32": 2**32 - 1,
    "sfixed32": -1,
    "sfixed64": -2,
    "sint32": -(2**31),
    "sint64": 2**63 - 1,
}
"""A value for each type."""

_File = FileDescriptorProto


def file() -> FileDescriptorProto:
    """The messages `Every`, with a field and a list of each type, and `Inner`."""
    made = _File(name="every.proto", package="every", syntax="proto3")
    every = made.message_type.add(name="Every")
    kinds = FieldDescriptorProto.Type
    for number, name in enumerate(SCALARS, 1):
        kind = kinds.Value(f"TYPE_{name.upper()}")
        every.field.add(name=f"a_{name}", number=number, type=kind, label=FieldDescriptorProto.LABEL_OPTIONAL)
        every.field.add(
            name=f"some_{name}", number=number + 100, type=kind, label=FieldDescriptorProto.LABEL_REPEATED
        )
    every.field.add(
        name="inner",
        number=50,
        type=kinds.TYPE_MESSAGE,
        type_name=".every.Every",
        label=FieldDescriptorProto.LABEL_OPTIONAL,
    )
    colour = made.enum_type.add(name="Colour")
    for number, name in enumerate(("NONE", "RED")):
        colour.value.add(name=name, number=number)
    every.field.add(
        name="colour",
        number=51,
        type=kinds.TYPE_ENUM,
        type_name=".every.Colour",
        label=FieldDescriptorProto.LABEL_OPTIONAL,
    )
    return made


@cache
def contract() -> Contract:
    pool = DescriptorPool()
    pool.Add(file())
    return Contract([pool.FindFileByName("every.proto")], pool)


def every(**values: Any) -> bytes:
    """The bytes of an `Every`."""
    kind = GetMessageClass(contract().message("Every"))
    return kind(**values).SerializeToString()


def descriptor_set() -> bytes:
    return FileDescriptorSet(file=[file()]).SerializeToString()


def frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return len(content).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + content


def envelope(message: bytes, flags: int = 0) -> bytes:
    return bytes([flags]) + len(message).to_bytes(4) + message


def request(
    messages: Iterable[bytes], *, path: str = "/user.UsuarioServicio/GetUser", **headers: str
) -> bytes:
    """What a client sends that makes one call."""
    found = {":method": "POST", ":path": path, "content-type": "application/grpc", **headers}
    head = hpack.Encoder().encode(found.items())
    body = b"".join(map(envelope, messages))
    return b"".join(
        [
            PREFACE,
            frame(SETTINGS, 0, 0, (4).to_bytes(2) + (65535).to_bytes(4)),
            frame(HEADERS, END_HEADERS, 1, head),
            frame(DATA, END_STREAM, 1, body),
        ]
    )
