"""The streams of the tutorial's service, UsuarioServicio."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

import grpc

from conexiones import errors
from conexiones.errors import ConexionesError, EmptyImage
from conexiones.gen.user_pb2 import GetImage, GetUserRequest
from conexiones.sdk import results
from conexiones.sdk.argument_types import check_count
from conexiones.sdk.connection import Connection, Link, ours
from conexiones.sdk.credentials import Secret
from conexiones.sdk.failures import ConnectionLost, Stalled, from_rpc
from conexiones.sdk.items import Items
from conexiones.sdk.requests import made
from conexiones.sdk.results import Greeting, ImageReply, NewUser, UserReply
from conexiones.sdk.sources import AnySource, Source, open_source
from conexiones.sdk.stream_status import Replies, StreamStatus, written
from conexiones.sdk.threads import cancelled

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
            except (ConnectionLost, errors.RateExceeded, errors.Unauthenticated) as error:
                if not await _for_now(connection, error, sent, opened.failure) or not opened.again:
                    raise
                await backoff.pause(error, reached=True)
    finally:
        opened.close()


async def _for_now(
    connection: Connection, error: ConexionesError, sent: Secret | None, failure: BaseException | None
) -> bool:
    """Whether a stream was refused as a whole, for now. What its source raised, `failure`, is no refusal, and
    after a lost connection nobody knows what was stored. Raises Unreachable, see `Connection.explain`."""
    if error is failure:
        return False
    if isinstance(error, ConnectionLost):
        await connection.explain(error)
        return False
    return await connection.worth_another(error, sent)


async def _one_stream(connection: Connection, opened: Source, chunk_size: int) -> Any:
    async with connection.use() as link:
        call = link.usuario.GetStreamImage()
        status, seconds = StreamStatus(call), connection.options.timeout
        try:
            await _send_fragments(call, opened, chunk_size, seconds)
            try:
                async with _within(seconds):
                    return await ours(call)
            except grpc.aio.AioRpcError as error:
                raise from_rpc(await status.of(error) or error) from error
        except Stalled:
            connection.renew(link)
            raise
        finally:
            call.cancel()
            del call, status


async def _send_fragments(call: Any, source: Source, chunk_size: int, seconds: float) -> None:
    """Returns also when the server has ended the call early: it has a reply, or a status that says why."""
    offset = 0
    try:
        while (chunk := await source.chunk(offset, chunk_size)).data:
            async with _within(seconds):
                if not await written(call.write(GetImage(image=chunk.data))):
                    return
            offset += len(chunk.data)
            source.release(offset)
        await source.digest()  # a file that was written to meanwhile is not stored
        await written(call.done_writing())
    finally:
        del call


@asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[None]:
    """Raises Stalled after so many seconds."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Stalled(why="nothing came") from None


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
            except (ConnectionLost, errors.RateExceeded, errors.Unauthenticated) as error:
                if not await _for_now(connection, error, sent, source.failure) or not source.rewind():
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
        tasks: set[asyncio.Task[Any]] = {sending}
        try:
            while True:
                # There is no timeout: the next item may take any time, and keepalive notices a dead
                # connection.
                reading = asyncio.create_task(replies.read())
                tasks = {reading, sending}
                if not sending.done():
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if sending.done():
                    sending.result()  # raises what `items` raised
                reply = await reading
                if reply is grpc.aio.EOF:
                    return
                yield reply
        finally:
            call.cancel()
            try:
                await cancelled(tasks)
                await replies.close()
            finally:
                del call, replies, sending, tasks  # see `release`


async def _send(call: Any, items: Items[T], message: Callable[[T], Any]) -> None:
    """Returns also when the stream has ended: reading raises why. Raises what the items raise."""
    try:
        async for item in items:
            if not await written(call.write(message(item))):
                return
        await written(call.done_writing())
    finally:
        del call
