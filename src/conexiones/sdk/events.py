"""Watching images, over as many connections as it takes."""

from collections.abc import AsyncGenerator, Callable, Iterator

import grpc

from conexiones.errors import ConexionesError
from conexiones.gen.conexiones.v1.images_pb2 import Event as EventMessage
from conexiones.gen.conexiones.v1.images_pb2 import WatchImagesRequest, WatchImagesResponse
from conexiones.sdk import results
from conexiones.sdk.connection import Connection, next_message
from conexiones.sdk.failures import ConnectionLost, Stalled
from conexiones.sdk.requests import made
from conexiones.sdk.results import Deleted, Described, Event, Resync, Stored

MOST_EVENTS = 100
"""Events that a response may carry: as many as the server puts into one at most. A message for each event
would cost the server and the client several times the processor time."""

SILENCE_SECONDS = 45.0
"""A connection on which nothing came for this long counts as dead; the server's heartbeat comes every 20
seconds."""


async def watch(
    connection: Connection, *, token: str, user: str, owner: str, ready: Callable[[str], object] | None
) -> AsyncGenerator[Event, None]:
    """See AsyncClient.watch. An empty `token` means from now on; an empty `user` or `owner` means all."""
    made(WatchImagesRequest, resume_token=token, user=user, owner=owner)  # refuses what cannot be sent
    backoff = connection.backoff()
    while True:
        sent = await connection.sending()
        try:
            async with connection.use() as link:
                call = link.images.WatchImages(
                    WatchImagesRequest(resume_token=token, user=user, owner=owner, max_events=MOST_EVENTS)
                )
                try:
                    while (said := await next_message(call, SILENCE_SECONDS)) is not grpc.aio.EOF:
                        connection.reached = True
                        backoff.progress()
                        for event in _events(said, token):
                            yield event
                        token = said.resume_token or token
                        if ready and said.HasField("heartbeat"):
                            ready(token)
                except Stalled:
                    connection.renew(link)
                    raise
                finally:
                    call.cancel()
                    del call
            connection.reached = True
            raise ConnectionLost(why="the server ended the stream")
        except ConexionesError as error:
            if not await connection.worth_another(error, sent):
                raise
            await backoff.pause(error, reached=connection.reached)


def _events(said: WatchImagesResponse, token: str) -> Iterator[Event]:
    """What happened. `token` is that before it.

    Of a server that gives each event no token of its own, the first ones of several have that before them
    all: whoever goes on after one of them hears of some again, and misses none.
    """
    for one in said.events.events:
        token = one.resume_token or token
        if (event := _event(one, token)) is not None:
            yield event
    token = said.resume_token or token
    if said.HasField("resync"):
        yield Resync(token)
    elif (event := _event(said, token)) is not None:
        yield event


def _event(said: WatchImagesResponse | EventMessage, token: str) -> Event | None:
    """None for a kind of event that this client does not know, and for what is no event."""
    match said.WhichOneof("event"):
        case "stored":
            return Stored(results.image(said.stored), token)
        case "described":
            return Described(results.image(said.described), token)
        case "deleted_id":
            return Deleted(said.deleted_id, token)
        case _:
            return None
