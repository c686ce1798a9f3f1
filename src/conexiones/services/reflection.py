"""Server reflection, v1 and v1alpha, over the descriptors of google.protobuf."""

from collections.abc import Iterable

from connectrpc_grpcreflect import ServerReflectionAlphaService, ServerReflectionService
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.rpc import error_details_pb2
from protobuf import DescFile
from protobuf.wkt import FileDescriptorSet

from conexiones.gen.conexiones.v1 import errors_pb2

_DETAILS = (error_details_pb2.DESCRIPTOR, errors_pb2.DESCRIPTOR)
"""No message has a field of these: they travel as Any, and grpcurl asks here what is in them."""


def reflection(services: Iterable[str]) -> tuple[ServerReflectionService, ServerReflectionAlphaService]:
    """The two versions, for services by full name, whatever their files need, and the details of errors."""
    pool = descriptor_pool.Default()
    names: dict[str, None] = {}
    found = descriptor_pb2.FileDescriptorSet()

    def add(file: FileDescriptor) -> None:
        if file.name not in names:
            names[file.name] = None
            for dependency in file.dependencies:
                add(dependency)
            file.CopyToProto(found.file.add())

    roots = [*(pool.FindServiceByName(service).file for service in services), *_DETAILS]
    for root in roots:
        add(root)
    registry = FileDescriptorSet.from_binary(found.SerializeToString()).to_registry()
    files = [file for root in roots if isinstance(file := registry.file(root.name), DescFile)]
    return ServerReflectionService(*files), ServerReflectionAlphaService(*files)
