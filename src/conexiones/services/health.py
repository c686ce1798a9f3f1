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
    """The whole server ("") and its services are SERVING until `drain`, then NOT_SERVING for good; and not
    while they pause."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = {"", *services}
        self._changed = asyncio.Event()  # set when the reason changes; then a fresh one takes its place
        self._reason = ""
        self._pause = ""

    def drain(self, reason: str = "the server drains") -> None:
        self._reason = self._reason or reason
        self._tell()

    def pause(self, reason: str) -> None:
        """Says why nothing can be served for now; with an empty reason, that this is over."""
        self._pause = reason
        self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    @property
    def reason(self) -> str:
        """Why the server is NOT_SERVING, in words for whoever runs it; empty while it serves."""
        return self._reason or self._pause

    async def check(self, request: HealthCheckRequest, call: Context, /) -> HealthCheckResponse:
        if request.service not in self._services:
            raise UnknownService(field="service")
        return self._status(request.service)

    async def watch(
        self, request: HealthCheckRequest, call: Context, /
    ) -> AsyncIterator[HealthCheckResponse]:
        said = None
        while True:  # until the client cancels
            changed = self._changed
            now = self._status(request.service)
            if said is None or said.status != now.status:  # it may have changed while it was being sent
                yield now
                said = now
            else:
                await changed.wait()

    async def list_all(self, request: HealthListRequest, call: Context, /) -> HealthListResponse:
        return HealthListResponse(statuses={name: self._status(name) for name in self._services})

    def _status(self, service: str) -> HealthCheckResponse:
        if service not in self._services:
            status = HealthCheckResponse.SERVICE_UNKNOWN
        elif self.reason:
            status = HealthCheckResponse.NOT_SERVING
        else:
            status = HealthCheckResponse.SERVING
        return HealthCheckResponse(status=status)
