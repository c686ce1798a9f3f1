"""Watching images, over as many connections as it takes."""

from collections.abc import AsyncGenerator, Callable

import grpc

from conexiones.errors import ConexionesError
from conexiones.gen.conexiones.v1.images_pb2 import WatchImagesRequest
from conexiones.sdk import results
from conexiones.sdk.connection import Connection, next_message
from conexiones.sdk.failures import ConnectionLost, Stalled, worth_retrying
from conexiones.sdk.results import Deleted, Event, Resync, Stored

SILENCE_SECONDS = 45.0
"""The server says something every 20 seconds: a connection that is silent for so long is dead."""


async def watch(
    connection: Connection, *, token: str, user: str, ready: Callable[[str], object] | None
) -> AsyncGenerator[Event, None]:
    pace = connection.pace()
    while True:
        try:
            async with connection.use() as link:
                call = link.images.WatchImages(WatchImagesRequest(resume_token=token, user=user))
                try:
                    while (said := await next_message(call, SILENCE_SECONDS)) is not grpc.aio.EOF:
                        connection.reached = True
                        pace.progress()
                        token = said.resume_token or token
                        match said.WhichOneof("event"):
                            case "stored":
                                yield Stored(results.image(said.stored), token)
                            case "deleted_id":
                                yield Deleted(said.deleted_id, token)
                            case "resync":
                                yield Resync(token)
                            case "heartbeat" if ready:
                                ready(token)
                except Stalled:
                    connection.renew(link)
                    raise
                finally:
                    call.cancel()
            raise ConnectionLost(why="the server ended the stream")
        except ConexionesError as error:
            if not worth_retrying(error):
                raise
            await pace.pause(error, reached=connection.reached)
