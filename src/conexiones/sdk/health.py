"""Asking for the health of the server: https://github.com/grpc/grpc/blob/master/doc/health-checking.md."""

from typing import Any

from conexiones.sdk.connection import Connection, Link
from conexiones.sdk.failures import ConnectionLost


async def check(connection: Connection, service: str) -> str:
    """The name of the status of a service, "" for the whole server, in one attempt. Raises UnknownService,
    and Unreachable if no server answers."""
    from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse  # few programs need it

    def method(link: Link) -> Any:
        return link.channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )

    try:
        reply = await connection.once(method, HealthCheckRequest(service=service))
    except ConnectionLost as error:
        await connection.explain(error)
        raise
    return str(HealthCheckResponse.ServingStatus.Name(reply.status))
