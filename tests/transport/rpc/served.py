"""A small application on the product's front: handlers that do what the name in their request says.

`python -m tests.transport.rpc.served` supervises it, with the settings in the environment; Envoy loads `app`
from here.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from conexiones.errors import InvalidField
from conexiones.gen.user_pb2 import GetAllReply, GetImageReply, GetUserReply
from conexiones.principals import EVERYBODY
from conexiones.routes import STREAMING_METHOD, USUARIO
from conexiones.services.details import packed
from conexiones.settings import Settings
from conexiones.transport.chain.access import Access
from conexiones.transport.chain.call import Call
from conexiones.transport.front import Front
from conexiones.transport.http.page import Page
from conexiones.transport.router import Router
from conexiones.transport.rpc.method import Handled, MessageLimit, service
from conexiones.transport.rpc.pipeline import Pipeline
from conexiones.transport.single_loop import SingleLoop


def adorn(call: Call) -> None:
    """Headers and trailers, one name of each twice."""
    call.reply_headers += [(b"x-head", b"a"), (b"x-head", b"b"), (b"x-one-bin", b"AAEC")]
    call.reply_trailers += [(b"x-tail", b"c"), (b"x-tail", b"d"), (b"x-two-bin", b"AwQF")]


async def get_user(request: Any, call: Call) -> GetUserReply:
    adorn(call)
    if request.name == "fail":
        raise InvalidField(field="name", takes="another")
    return GetUserReply(message=request.name)


async def process_image(request: Any, call: Call) -> GetUserReply:
    return GetUserReply(message=str(len(request.image)))


async def get_stream_image(requests: AsyncIterator[Any], call: Call) -> GetUserReply:
    """The bytes that came, and in how many messages or pieces."""
    size = count = 0
    async for request in requests:
        size += len(request.image)
        count += 1
    return GetUserReply(message=f"{size} in {count}")


async def store_one(request: Any, call: Call) -> GetImageReply:
    if request.image == b"exit":
        sys.exit("out of a task")
    return GetImageReply(message=str(len(request.image)))


async def get_user_bidi_stream(requests: AsyncIterator[Any], call: Call) -> AsyncIterator[Any]:
    adorn(call)
    try:
        async for request in requests:
            if request.name == "fail":
                raise InvalidField(field="name", takes="another")
            if request.name == "no reply":
                yield "which no codec can encode"
            yield GetAllReply(name=request.name)
    finally:
        await asyncio.sleep(0)  # as handlers do that have something to clear away


async def images(call: Call) -> None:
    await call.respond(200, [(b"content-length", b"4")], b"here")


@asynccontextmanager
async def resources() -> AsyncIterator[None]:
    yield


settings = Settings.load()
limit = MessageLimit(max_bytes=settings.max_message_bytes, streaming_method=STREAMING_METHOD)
handlers = {
    "GetUser": Handled(handler=get_user, needs="none"),
    "ProcessImage": Handled(handler=process_image, needs="none"),
    "GetStreamImage": Handled(handler=get_stream_image, needs="none", pieces=True),
    "ImageStreamReply": Handled(
        handler=Pipeline(store_one, size=lambda request: len(request.image)), needs="none"
    ),
    "GetUserBidiStream": Handled(handler=get_user_bidi_stream, needs="none"),
}
router = Router(service(USUARIO, handlers, limit), images=images, page=Page(), details=packed)
access = Access((), nobody=EVERYBODY)
app = SingleLoop(Front(router, settings, access=access, resources=resources, on_drain=lambda: None))

if __name__ == "__main__":
    from tests.transport.application import supervise

    sys.exit(supervise("tests.transport.rpc.served:app"))
