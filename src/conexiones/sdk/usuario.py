"""The streams of the tutorial's service, UsuarioServicio."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from contextlib import aclosing
from typing import Any, TypeVar

import grpc

from conexiones import errors
from conexiones.errors import EmptyImage
from conexiones.gen.user_pb2 import GetImage, GetUserRequest
from conexiones.sdk import results
from conexiones.sdk.argument_types import check_count
from conexiones.sdk.connection import Connection, Link, ours
from conexiones.sdk.failures import ConnectionLost, Stalled, from_rpc
from conexiones.sdk.items import Items
from conexiones.sdk.requests import made
from conexiones.sdk.results import Greeting, ImageReply, NewUser, UserReply
from conexiones.sdk.sources import AnySource, Source, open_source
from conexiones.sdk.stream_status import Replies, StreamStatus
from conexiones.sdk.threads import seen

T = TypeVar("T")
Reply = TypeVar("Reply")

FRAGMENT_BYTES = 256 << 10
"""Default size of one fragment of GetStreamImage."""


async def stream_image(connection: Connection, source: AnySource, chunk_size: int) -> Greeting:
    chunk_size = check_count("chunk_size", chunk_size, "bytes")
    opened = open_source(source, hashing=False)
    backoff = connection.backoff()
    try:
        while True:
            sent = await connection.sending()
            try:
                return results.greeting(await _one_stream(connection, opened, chunk_size))
            except ConnectionLost as error:
                await connection.explain(error)
                raise
            except (errors.RateExceeded, errors.Unauthenticated) as error:
                if not await connection.worth_another(error, sent) or not opened.again:
                    raise
                await backoff.pause(error, reached=True)
    finally:
        opened.close()


async def _one_stream(connection: Connection, opened: Source, chunk_size: int) -> Any:
    async with connection.use() as link:
        call = link.usuario.GetStreamImage()
        status = StreamStatus(call)
        try:
            await _send_fragments(call, opened, chunk_size, connection.options.timeout)
            async with asyncio.timeout(connection.options.timeout):
                return await ours(call)
        except grpc.aio.AioRpcError as error:
            raise from_rpc(await status.of(error)) from error
        except TimeoutError:
            connection.renew(link)
            raise Stalled(why="nothing came") from None
        finally:
            call.cancel()
            del call, status


async def _send_fragments(call: Any, source: Any, chunk_size: int, seconds: float) -> None:
    offset = 0
    try:
        while (chunk := await source.chunk(offset, chunk_size)).data:
            async with asyncio.timeout(seconds):
                await ours(call.write(GetImage(image=chunk.data)))
            offset += len(chunk.data)
            source.release(offset)
        await source.digest()  # a file that was written to meanwhile is not stored
        await ours(call.done_writing())
    except asyncio.InvalidStateError:
        return  # the server has already ended the call; the caller gets its status
    finally:
        del call


def image_stream(
    connection: Connection, images: Iterable[bytes] | AsyncIterable[bytes]
) -> AsyncGenerator[ImageReply, None]:
    return _exchange(
        connection,
        lambda link: link.usuario.ImageStreamReply,
        images,
        lambda image: made(GetImage, image=image),
        results.image_reply,
    )


def user_stream(
    connection: Connection, users: Iterable[NewUser] | AsyncIterable[NewUser]
) -> AsyncGenerator[UserReply, None]:
    return _exchange(
        connection,
        lambda link: link.usuario.GetUserBidiStream,
        users,
        lambda user: user_request(user.name, user.pow, user.image),
        results.user_reply,
    )


def user_request(name: str, pow: int, image: bytes | None) -> GetUserRequest:
    """Raises InvalidField, and EmptyImage for an image of no bytes, which on its way would look like none."""
    request = made(GetUserRequest, name=name, pow=pow, image=image)
    if image is not None and not request.image:
        raise EmptyImage
    return request


async def _exchange(
    connection: Connection,
    method: Callable[[Link], Any],
    items: Iterable[T] | AsyncIterable[T],
    message: Callable[[T], Any],
    result: Callable[[Any], Reply],
) -> AsyncGenerator[Reply, None]:
    """Sends the items and yields one reply to each. An exception of `items` ends the stream and is raised
    here. A stream that is refused as a whole, for now, begins again."""
    source = Items(items)
    backoff = connection.backoff()
    try:
        while True:
            sent = await connection.sending()
            try:
                async with aclosing(_one_exchange(connection, method, source, message)) as replies:
                    async for reply in replies:
                        connection.reached = True
                        source.answered()
                        yield result(reply)
                return
            except ConnectionLost as error:
                await connection.explain(error)
                raise
            except (errors.RateExceeded, errors.Unauthenticated) as error:
                if not await connection.worth_another(error, sent) or not source.rewind():
                    raise
                await backoff.pause(error, reached=True)
    finally:
        await source.close()


async def _one_exchange(
    connection: Connection,
    method: Callable[[Link], Any],
    items: Items[T],
    message: Callable[[T], Any],
) -> AsyncGenerator[Any, None]:
    async with connection.use() as link:
        call = method(link)()
        replies = Replies(call)
        sending = asyncio.create_task(_send(call, items, message))
        # Should the program end first, nobody looks at what sending then fails with.
        sending.add_done_callback(seen)
        reading: asyncio.Task[Any] | None = None
        try:
            while True:
                # There is no timeout: the next item may take any time, and keepalive notices a dead
                # connection.
                reading = asyncio.create_task(replies.read())
                if not sending.done():
                    await asyncio.wait({reading, sending}, return_when=asyncio.FIRST_COMPLETED)
                if sending.done() and not _by_stream(sending):
                    sending.result()
                reply = await reading
                if reply is grpc.aio.EOF:
                    return
                yield reply
        finally:
            call.cancel()
            for task in (sending, reading):
                if task is not None:
                    task.cancel()
                    await asyncio.wait({task})
                    if not task.cancelled():
                        task.exception()
            await replies.close()
            del call, replies, sending, reading, task  # see `release`


async def _send(call: Any, items: Items[T], message: Callable[[T], Any]) -> None:
    try:
        async for item in items:
            await call.write(message(item))
        await call.done_writing()
    finally:
        del call


def _by_stream(sending: "asyncio.Task[None]") -> bool:
    """Whether sending failed because the stream ended. Its status, which reading raises, then says why."""
    return sending.cancelled() or isinstance(
        sending.exception(), grpc.RpcError | asyncio.InvalidStateError | ConnectionLost
    )
