"""Server reflection, v1 and v1alpha (https://github.com/grpc/grpc/blob/master/doc/server-reflection.md)."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from functools import lru_cache
from importlib import import_module
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from conexiones.errors import InvalidField
from conexiones.gen.conexiones.v1 import errors_pb2
from conexiones.services.context import Context
from conexiones.shares import Turns

ALPHA = "grpc.reflection.v1alpha.ServerReflection"
CURRENT = "grpc.reflection.v1.ServerReflection"

_LIBRARY = "grpc_reflection.v1alpha.reflection"
"""Imported when somebody asks. It needs grpcio, which nothing else in a server uses: 40 ms of CPU at
the start, and 9 MB."""

MOST_BYTES = 1024
"""The most bytes of a request, which is repeated in its reply. Names are shorter."""

AT_ONCE = 2
"""Requests that are answered in one turn of the event loop, of each client at most one. An answer waits for
nothing: a thousand streams that ask all the time would otherwise keep all else waiting for a second."""

DETAILS = (error_details_pb2.DESCRIPTOR, errors_pb2.DESCRIPTOR)
"""Files of messages that no other message has as a field: they travel as Any, and clients such as grpcurl ask
for their types here. Importing a file adds it to the pool."""


class ReflectionService:
    """Describes services by their full names, with the files that they need, from the default descriptor
    pool."""

    def __init__(self, services: Iterable[str]) -> None:
        _add_current()
        self._services = [*services, ALPHA, CURRENT]
        self._servicer: Any = None
        self._turns = Turns(AT_ONCE, each=1)

    async def alpha(
        self, requests: AsyncIterator[ServerReflectionRequest], call: Context, /
    ) -> AsyncIterator[ServerReflectionResponse]:
        if self._servicer is None:
            library = await asyncio.to_thread(import_module, _LIBRARY)
            self._servicer = library.aio.ReflectionServicer(self._services)
        async for request in requests:
            if request.ByteSize() > MOST_BYTES:
                takes = f"at most {MOST_BYTES} bytes of UTF-8 without control characters"
                raise InvalidField(field=request.WhichOneof("message_request") or "host", takes=takes)
            async with self._turns:
                await asyncio.sleep(0)  # lets all else go on
                reply = await anext(self._servicer.ServerReflectionInfo(_only(request), None))
            if reply.HasField("file_descriptor_response"):
                files = reply.file_descriptor_response.file_descriptor_proto
                files[:] = map(_with_json_names, files)
            yield reply

    async def current(
        self, requests: AsyncIterator[ServerReflectionRequest], call: Context, /
    ) -> AsyncIterator[ServerReflectionResponse]:
        """Messages of both versions are the same on the wire, and the library knows only those of v1alpha."""

        async def converted() -> AsyncIterator[ServerReflectionRequest]:
            async for request in requests:
                yield ServerReflectionRequest.FromString(request.SerializeToString())

        async for reply in self.alpha(converted(), call):
            yield reply


async def _only(request: ServerReflectionRequest) -> AsyncIterator[ServerReflectionRequest]:
    yield request


@lru_cache(64)  # there are some twenty files
def _with_json_names(serialized: bytes) -> bytes:
    """Adds the JSON names of fields, which descriptors in Python leave out. Without them, grpcurl prints
    `image_info` where all other JSON of the server has `imageInfo`."""
    file = descriptor_pb2.FileDescriptorProto.FromString(serialized)
    prefix = f"{file.package}." if file.package else ""
    messages = [(f"{prefix}{message.name}", message) for message in file.message_type]
    for name, message in messages:  # grows while it is read
        messages += [(f"{name}.{inner.name}", inner) for inner in message.nested_type]
        fields = descriptor_pool.Default().FindMessageTypeByName(name).fields_by_name
        for field in message.field:
            field.json_name = fields[field.name].json_name
    return file.SerializeToString()


def _add_current() -> None:
    """Adds the descriptors of v1 to the default pool: those of v1alpha under another name."""
    file = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    file.package = "grpc.reflection.v1"
    file.name = "grpc/reflection/v1/reflection.proto"
    for field in (field for message in file.message_type for field in message.field):
        if field.type_name:
            field.type_name = field.type_name.replace(".v1alpha.", ".v1.")
    for method in (method for service in file.service for method in service.method):
        method.input_type = method.input_type.replace(".v1alpha.", ".v1.")
        method.output_type = method.output_type.replace(".v1alpha.", ".v1.")
    descriptor_pool.Default().Add(file)
