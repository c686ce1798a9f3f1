"""Streams that the server ends before all was sent: what it has replied comes, and then its reason."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc.status_pb2 import Status

from conexiones import AsyncClient, errors
from conexiones.gen.user_pb2 import GetImage, GetImageReply
from conexiones.gen.user_pb2_grpc import (
    UsuarioServicioServicer,
    UsuarioServicioStub,
    add_UsuarioServicioServicer_to_server,
)
from conexiones.sdk import ConnectionLost, usuario
from conexiones.sdk.connection import ours
from conexiones.sdk.stream_status import Replies
from conexiones.services.details import packed
from tests.support.waiting import DEADLINE

REPLIES = 3
MUCH = b"x" * (1 << 20)


class Service(UsuarioServicioServicer):
    """Reads one image, replies more often than that, and ends the stream for a reason."""

    async def ImageStreamReply(  # noqa: N802 (as gRPC calls it)
        self, requests: AsyncIterator[GetImage], context: Any
    ) -> AsyncIterator[GetImageReply]:
        await anext(requests)
        for number in range(REPLIES):
            yield GetImageReply(message=str(number))
        error = errors.StorageUnavailable()
        status = Status(code=error.code, message=error.message, details=packed(error))
        await context.abort(
            grpc.StatusCode.UNAVAILABLE,
            error.message,
            (("grpc-status-details-bin", status.SerializeToString()),),
        )


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    server = grpc.aio.server()
    add_UsuarioServicioServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def test_replies_that_came_before_a_write_failed_are_read() -> None:
    async with serving() as address, grpc.aio.insecure_channel(address) as channel, asyncio.timeout(DEADLINE):
        call = UsuarioServicioStub(channel).ImageStreamReply()
        replies = Replies(call)
        with pytest.raises((grpc.aio.AioRpcError, asyncio.InvalidStateError, ConnectionLost)):
            await _write_for_ever(call)  # nobody reads meanwhile
        assert [(await replies.read()).message for _ in range(REPLIES)] == ["0", "1", "2"]
        with pytest.raises(errors.StorageUnavailable):
            await replies.read()
        await replies.close()


async def test_whoever_is_slow_to_take_replies_gets_all_of_them_and_the_reason() -> None:
    taken: list[str] = []
    async with serving() as address, AsyncClient(address) as client, asyncio.timeout(DEADLINE):
        with pytest.raises(errors.StorageUnavailable):
            await _take_when_all_is_sent(client, taken)
    assert taken == ["0", "1", "2"]


async def _write_for_ever(call: Any) -> None:
    while True:
        await ours(call.write(GetImage(image=MUCH)))  # gRPC may cancel it when the stream ends


async def _take_when_all_is_sent(client: AsyncClient, taken: list[str]) -> None:
    async for reply in client.image_stream(MUCH for _ in range(1000)):
        taken.append(reply.message)
        if sending := {task for task in asyncio.all_tasks() if _sends(task)}:
            await asyncio.wait(sending)


def _sends(task: "asyncio.Task[Any]") -> bool:
    return getattr(task.get_coro(), "__qualname__", "") == usuario._send.__qualname__
