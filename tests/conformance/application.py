"""What Envoy loads: the services of the suites behind the product's front, chain and page."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from conexiones.principals import EVERYBODY
from conexiones.settings import Settings
from conexiones.transport.chain.access import Access
from conexiones.transport.front import Front
from conexiones.transport.http.page import Page
from conexiones.transport.process import logs
from conexiones.transport.router import Router
from conexiones.transport.rpc.method import MessageLimit
from conexiones.transport.single_loop import SingleLoop
from tests.conformance import conformance_service, interop_service, protocols
from tests.conformance.late import answer_late
from tests.conformance.requested import details


def build(settings: Settings) -> Front:
    protocols.load()
    limit = MessageLimit(max_bytes=settings.max_message_bytes, streaming_method="none")
    routes = {**conformance_service.routes(limit), **interop_service.routes(limit)}
    page = Page()

    @asynccontextmanager
    async def resources() -> AsyncIterator[None]:
        await asyncio.to_thread(page.open)
        yield

    router = Router(routes, images=answer_late, page=page, details=details)
    return Front(
        router, settings, access=Access((), nobody=EVERYBODY), resources=resources, on_drain=lambda: None
    )


settings = Settings.load()
logs.configure(settings.log_level)
app = SingleLoop(build(settings))
