"""grpc.health.v1 (https://github.com/grpc/grpc/blob/master/doc/health-checking.md)."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.request import RequestContext
from connectrpc.server import ConnectASGIApplication, Endpoint
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from conexiones.errors import UnknownService

SERVICE = "grpc.health.v1.Health"


class HealthService:
    """The whole server ("") and its services are SERVING until `drain`, then NOT_SERVING for good."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = {"", *services}
        self._draining = asyncio.Event()

    def drain(self) -> None:
        self._draining.set()

    async def check(
        self, request: HealthCheckRequest, ctx: "RequestContext[HealthCheckRequest, HealthCheckResponse]", /
    ) -> HealthCheckResponse:
        if request.service not in self._services:
            raise UnknownService(field="service")
        return self._status(request.service)

    async def watch(
        self, request: HealthCheckRequest, ctx: "RequestContext[HealthCheckRequest, HealthCheckResponse]", /
    ) -> AsyncIterator[HealthCheckResponse]:
        # Compared with what was said, not with what is: a drain may begin while the first is being sent.
        said = self._status(request.service)
        yield said
        if said.status == HealthCheckResponse.SERVING:
            await self._draining.wait()
            yield self._status(request.service)
        await asyncio.get_running_loop().create_future()  # until the client has seen enough

    def _status(self, service: str) -> HealthCheckResponse:
        if service not in self._services:
            status = HealthCheckResponse.SERVICE_UNKNOWN
        elif self._draining.is_set():
            status = HealthCheckResponse.NOT_SERVING
        else:
            status = HealthCheckResponse.SERVING
        return HealthCheckResponse(status=status)


class HealthASGIApplication(ConnectASGIApplication[HealthService]):
    """As the connectrpc plugin would generate it; the messages come from grpcio-health-checking."""

    def __init__(self, service: HealthService, **options: object) -> None:
        super().__init__(service=service, endpoints=_endpoints, **options)  # type: ignore[arg-type]

    @property
    def path(self) -> str:
        return f"/{SERVICE}"


def _endpoints(service: HealthService) -> dict[str, Endpoint]:  # type: ignore[type-arg]
    return {
        f"/{SERVICE}/Check": Endpoint.unary(
            method=_method("Check", StreamType.UNARY), function=service.check
        ),
        f"/{SERVICE}/Watch": Endpoint.server_stream(
            method=_method("Watch", StreamType.SERVER_STREAM), function=service.watch
        ),
    }


def _method(name: str, stream_type: StreamType) -> "MethodInfo[HealthCheckRequest, HealthCheckResponse]":
    return MethodInfo(
        name=name,
        service_name=SERVICE,
        input=HealthCheckRequest,
        output=HealthCheckResponse,
        idempotency_level=IdempotencyLevel.UNKNOWN,
        stream_type=stream_type,
    )
