"""The messages and services of the suites, from the descriptors that build.py has written."""

from typing import Any

from google.protobuf import any_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import Message

from conexiones.transport.rpc.payloads import Carried
from tests.support.paths import ROOT

BUILD = ROOT / "build" / "conformance"
DESCRIPTORS = BUILD / "descriptors.binpb"

CONFORMANCE = "connectrpc.conformance.v1"
INTEROP = "grpc.testing"


def load() -> None:
    """Adds them to the default pool, where routes find their services."""
    pool = descriptor_pool.Default()
    for file in FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file:
        pool.Add(file)


def message(full_name: str) -> Any:
    """The class of a message. It is made at run time, so that type checkers do not know its fields."""
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(full_name))


def packed(inner: Message | Carried) -> any_pb2.Any:
    box = any_pb2.Any()
    box.Pack(inner.whole() if isinstance(inner, Carried) else inner)
    return box
