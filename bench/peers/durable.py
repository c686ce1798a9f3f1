"""A peer: grpc.aio with uvloop, which does the same durable work with our own services and store.

Only the transport differs. Run it by `python -m bench.peers.durable`, with the server's settings.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc.aio
import uvloop

from bench.peers.composed import compose
from conexiones.gen.user_pb2 import GetImage, GetImageReply, GetUserReply, GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioServicer, add_UsuarioServicioServicer_to_server
from conexiones.principals import EVERYBODY
from conexiones.services.usuario import UsuarioService
from conexiones.settings import Settings
from conexiones.shares import Caller
from conexiones.transport.rpc.pipeline import Pipeline


class Anybody:
    """The context of a call, as far as our service asks for it."""

    principal = EVERYBODY
    caller = Caller("127.0.0.1")

    def changed(self, event: str, object_id: str, outcome: str = "OK") -> None:
        """Nothing is audited."""

    def refused(self, error: Exception) -> None:
        """Nothing is audited."""

    def release(self) -> None:
        """No budget of memory is kept."""


ANYBODY: Any = Anybody()


class Servicer(UsuarioServicioServicer):
    """Passes the calls that are compared on to our service."""

    def __init__(self, service: UsuarioService) -> None:
        self._service = service
        self._pipeline: Pipeline[GetImage, GetImageReply] = Pipeline(
            service.store_one, size=lambda request: len(request.image)
        )

    async def GetUser(self, request: GetUserRequest, context: Any) -> GetUserReply:  # noqa: N802
        return await self._service.get_user(request, ANYBODY)

    async def GetStreamImage(self, requests: AsyncIterator[GetImage], context: Any) -> GetUserReply:  # noqa: N802
        return await self._service.get_stream_image(requests, ANYBODY)

    async def ImageStreamReply(  # noqa: N802
        self, requests: AsyncIterator[GetImage], context: Any
    ) -> AsyncIterator[GetImageReply]:
        async for reply in self._pipeline(requests, ANYBODY):
            yield reply


class Kept(UsuarioService):
    """The service as the composition root makes it. It remembers its instance, for another transport to
    use."""

    made: "Kept"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        Kept.made = self


class Resources:
    """Replaces our transport, and remembers the context manager that opens and closes the store."""

    made: "Resources"

    def __init__(
        self,
        router: object,
        settings: object,
        *,
        resources: Callable[[], AbstractAsyncContextManager[None]],
        **options: object,
    ) -> None:
        self.opened = resources
        Resources.made = self

    def __getattr__(self, name: str) -> Callable[..., None]:
        """What else the composition root asks of the transport: nothing comes of it."""
        return lambda *_: None


async def main() -> None:
    settings = Settings.load()
    compose(UsuarioService=Kept, Front=Resources)
    async with Resources.made.opened():
        server = grpc.aio.server(options=[("grpc.max_receive_message_length", settings.max_message_bytes)])
        add_UsuarioServicioServicer_to_server(Servicer(Kept.made), server)
        port = server.add_insecure_port(settings.address)
        await server.start()
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        print(f"grpc.aio listens on 127.0.0.1:{port} ", flush=True)
        await stop.wait()
        await server.stop(1)


if __name__ == "__main__":
    uvloop.run(main())
