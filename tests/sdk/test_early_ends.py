"""Streams that end before all was sent: by the server, whose replies come and then its reason; by what they
are fed with, whose error is raised as it is; by the program, which keeps nothing of them."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest

from conexiones import AsyncClient, errors
from conexiones.gen.user_pb2 import GetImage, GetImageReply, GetUserReply
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.sdk import ConnectionLost, usuario
from conexiones.sdk.connection import ours
from conexiones.sdk.results import ImageReply
from conexiones.sdk.stream_status import Replies
from tests.sdk.test_hostile_servers import fail, serving
from tests.support.waiting import DEADLINE

REPLIES = 3
TIMES = 20
"""How often a stream is ended early, whose replies may come before, with or after a failed write."""
MUCH = b"x" * (1 << 20)


async def hasty(requests: AsyncIterator[GetImage], context: Any) -> AsyncIterator[GetImageReply]:
    """Reads one image, replies more often than that, and ends the stream with OK."""
    await anext(requests)
    for number in range(REPLIES):
        yield GetImageReply(message=str(number))


async def failing(requests: AsyncIterator[GetImage], context: Any) -> AsyncIterator[GetImageReply]:
    """The same, for a reason."""
    async for reply in hasty(requests, context):
        yield reply
    await fail(context, errors.StorageUnavailable())


async def enough(requests: AsyncIterator[GetImage], context: Any) -> GetUserReply:
    await anext(requests)
    return GetUserReply(message="enough")


async def patient(requests: AsyncIterator[GetImage], context: Any) -> AsyncIterator[GetImageReply]:
    """Replies to the first message, and waits for the end of the stream."""
    await anext(requests)
    yield GetImageReply(message="0")
    async for _ in requests:
        pass


def lost() -> ConnectionLost:
    return ConnectionLost(why="of another client")


async def test_replies_that_came_before_a_write_failed_are_read() -> None:
    async with (
        serving(ImageStreamReply=failing) as address,
        grpc.aio.insecure_channel(address) as channel,
        asyncio.timeout(DEADLINE),
    ):
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
    async with (
        serving(ImageStreamReply=failing) as address,
        AsyncClient(address) as client,
        asyncio.timeout(DEADLINE),
    ):
        with pytest.raises(errors.StorageUnavailable):
            await _take_when_all_is_sent(client, taken)
    assert taken == ["0", "1", "2"]


async def test_a_stream_that_ends_well_early_is_no_lost_connection() -> None:
    async with (
        serving(ImageStreamReply=hasty, GetStreamImage=enough) as address,
        AsyncClient(address) as client,
        asyncio.timeout(DEADLINE),
    ):
        for _ in range(TIMES):
            assert await _take(client.image_stream(MUCH for _ in range(100))) == ["0", "1", "2"]
            assert (await client.stream_image(MUCH * 10)).message == "enough"


@pytest.mark.parametrize(
    "error",
    [
        lost,
        errors.StorageUnavailable,
        asyncio.InvalidStateError,
        asyncio.CancelledError,
        grpc.RpcError,
        ValueError,
    ],
)
@pytest.mark.parametrize("first", [True, False])
async def test_what_images_raise_ends_the_stream(error: Callable[[], BaseException], first: bool) -> None:
    mine = error()

    async def images() -> AsyncIterator[bytes]:
        if not first:
            yield MUCH
        raise mine

    async with serving(ImageStreamReply=patient) as address, AsyncClient(address) as client:
        with pytest.raises(type(mine)) as raised:
            await asyncio.wait_for(_take(client.image_stream(images())), DEADLINE)
    assert raised.value is mine or isinstance(mine, asyncio.CancelledError)


@pytest.mark.parametrize("steps", range(12))
async def test_a_consumer_that_is_cancelled_twice(steps: int) -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    begun = asyncio.Event()

    async def images() -> AsyncIterator[bytes]:
        yield MUCH
        await asyncio.Event().wait()

    async def consume(client: AsyncClient) -> None:
        async for _ in client.image_stream(images()):
            begun.set()

    async with (
        serving(ImageStreamReply=patient) as address,
        AsyncClient(address) as client,
        asyncio.timeout(DEADLINE),
    ):
        task = asyncio.create_task(consume(client))
        await begun.wait()
        task.cancel()
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gc.collect()
    assert not [one for one in told if "future" in one]  # gRPC has messages of its own


async def _take(replies: AsyncIterator[ImageReply]) -> list[str]:
    return [reply.message async for reply in replies]


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
