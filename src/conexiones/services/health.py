"""grpc.health.v1 (https://github.com/grpc/grpc/blob/master/doc/health-checking.md)."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from grpc_health.v1.health_pb2 import (
    HealthCheckRequest,
    HealthCheckResponse,
    HealthListRequest,
    HealthListResponse,
)

from conexiones.errors import UnknownService
from conexiones.services.context import Context

SERVICE = "grpc.health.v1.Health"


class HealthService:
    """The whole server ("") and its services are SERVING until `drain`, then NOT_SERVING for good."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = {"", *services}
        self._draining = asyncio.Event()
        self._reason = ""

    def drain(self, reason: str = "the server drains") -> None:
        self._reason = self._reason or reason
        self._draining.set()

    @property
    def reason(self) -> str:
        """Why the server is NOT_SERVING, in words for whoever runs it; empty while it serves."""
        return self._reason

    async def check(self, request: HealthCheckRequest, call: Context, /) -> HealthCheckResponse:
        if request.service not in self._services:
            raise UnknownService(field="service")
        return self._status(request.service)

    async def watch(
        self, request: HealthCheckRequest, call: Context, /
    ) -> AsyncIterator[HealthCheckResponse]:
        # Compared with the status that was sent, since a drain may begin while it is being sent.
        said = self._status(request.service)
        yield said
        if said.status == HealthCheckResponse.SERVING:
            await self._draining.wait()
            yield self._status(request.service)
        await asyncio.get_running_loop().create_future()  # until the client cancels

    async def list_all(self, request: HealthListRequest, call: Context, /) -> HealthListResponse:
        return HealthListResponse(statuses={name: self._status(name) for name in self._services})

    def _status(self, service: str) -> HealthCheckResponse:
        if service not in self._services:
            status = HealthCheckResponse.SERVICE_UNKNOWN
        elif self._draining.is_set():
            status = HealthCheckResponse.NOT_SERVING
        else:
            status = HealthCheckResponse.SERVING
        return HealthCheckResponse(status=status)
