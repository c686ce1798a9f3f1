"""Health and reflection, as any gRPC tool asks for them."""

import asyncio

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from conexiones.services.health import HealthService
from conexiones.testing import Server
from tests.support.failures import failure
from tests.support.waiting import DEADLINE, idle

SERVICES = {
    "conexiones.v1.ImageService",
    "conexiones.v1.AdminService",
    "conexiones.v1.StatusService",
    "conexiones.v1.UploadService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "user.UsuarioServicio",
}


@pytest.mark.parametrize("service", ["", "user.UsuarioServicio", "grpc.health.v1.Health"])
def test_health_of_what_there_is(channel: grpc.Channel, service: str) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service=service)
    assert stub.Check(request, timeout=DEADLINE).status == health_pb2.HealthCheckResponse.SERVING
    watch = stub.Watch(request, timeout=DEADLINE)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()


def test_health_of_what_there_is_not(channel: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest(service="no.such.Service")
    assert failure(stub.Check, request) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_SERVICE")
    watch = stub.Watch(request, timeout=DEADLINE)
    # The health protocol wants SERVICE_UNKNOWN on an open stream: the service may be added later.
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection(channel: grpc.Channel, version: str) -> None:
    # The messages of the two versions are the same on the wire.
    call = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="user.UsuarioServicio"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="no.such.Thing"),
        # The types of error details, which no message refers to; grpcurl needs them to show an error.
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="google.rpc.ErrorInfo"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="conexiones.v1.ImageProblem"),
    ]
    listed, described, unknown, *details = call(iter(requests), timeout=DEADLINE)
    assert {service.name for service in listed.list_services_response.service} == SERVICES
    assert unknown.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert all(answer.HasField("file_descriptor_response") for answer in details)
    # The description is enough to call the service: every file that it depends on is there.
    pool = descriptor_pool.DescriptorPool()
    files = [
        descriptor_pb2.FileDescriptorProto.FromString(file)
        for file in described.file_descriptor_response.file_descriptor_proto
    ]
    fields = {
        (message.name, field.name): field.json_name
        for file in files
        for message in file.message_type
        for field in message.field
    }
    assert fields["GetUserReply", "image_info"] == "imageInfo"
    assert all(fields.values())
    while files:
        ready = [file for file in files if not {other.name for other in files} & set(file.dependency)]
        assert ready, "a file is missing"
        for file in ready:
            pool.Add(file)
            files.remove(file)
    methods = pool.FindServiceByName("user.UsuarioServicio").methods
    assert [method.name for method in methods] == [
        "GetUser",
        "ProcessImage",
        "GetStreamImage",
        "ImageStreamReply",
        "GetUserBidiStream",
    ]


def test_what_is_no_name_is_not_repeated(channel: grpc.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(file_by_filename="a" * 2000)
    refused = failure(lambda one, **options: next(stub.ServerReflectionInfo(iter([one]), **options)), request)
    assert refused == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


def test_reflection_can_be_off(start) -> None:
    server: Server = start(reflection="false")
    with grpc.insecure_channel(server.address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        refused = failure(stub.ServerReflectionInfo, requests)
        assert refused == (grpc.StatusCode.UNIMPLEMENTED, "UNKNOWN_METHOD")


async def test_a_pause_is_told_and_so_is_its_end() -> None:
    health = HealthService(["a"])
    told = health.watch(health_pb2.HealthCheckRequest(), None)  # type: ignore[arg-type]  # it looks at no call
    statuses = health_pb2.HealthCheckResponse
    assert (await anext(told)).status == statuses.SERVING
    for reason, status in (
        ("the database does not answer", statuses.NOT_SERVING),
        ("", statuses.SERVING),
        ("again", statuses.NOT_SERVING),
    ):
        health.pause(reason)
        assert (await anext(told)).status == status
        assert health.reason == reason
    health.drain()
    health.pause("")
    assert health.reason == "the server drains", "which is for good"
    late = asyncio.ensure_future(anext(told))
    await idle()
    assert not late.done(), "nothing has changed for who watches"
    late.cancel()
