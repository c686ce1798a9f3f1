"""Server reflection, v1 and v1alpha, over the descriptors of google.protobuf."""

from collections.abc import Iterable

from connectrpc_grpcreflect import ServerReflectionAlphaService, ServerReflectionService
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from protobuf import DescFile
from protobuf.wkt import FileDescriptorSet


def reflection(services: Iterable[str]) -> tuple[ServerReflectionService, ServerReflectionAlphaService]:
    """The two versions, for services by full name and whatever their files need."""
    pool = descriptor_pool.Default()
    names: dict[str, None] = {}
    found = descriptor_pb2.FileDescriptorSet()

    def add(file: FileDescriptor) -> None:
        if file.name not in names:
            names[file.name] = None
            for dependency in file.dependencies:
                add(dependency)
            file.CopyToProto(found.file.add())

    roots = [pool.FindServiceByName(service).file for service in services]
    for root in roots:
        add(root)
    registry = FileDescriptorSet.from_binary(found.SerializeToString()).to_registry()
    files = [file for root in roots if isinstance(file := registry.file(root.name), DescFile)]
    return ServerReflectionService(*files), ServerReflectionAlphaService(*files)
