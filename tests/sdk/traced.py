"""A program that uses OpenTelemetry, and this client: it prints the id of its trace."""

import asyncio
import json
import sys

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from conexiones import AsyncClient, Client, errors
from tests.sdk.proxy import Fault, Proxy
from tests.support.bitmaps import bitmap

CUT_AT = 1 << 20


async def interrupted(address: str) -> None:
    """An upload whose connection breaks, a download, and what is iterated."""
    image = b"".join(bitmap(1000, 700))
    async with (
        Proxy(address, 0, most_bytes=1, faulty=0, cut_at=CUT_AT) as proxy,
        AsyncClient(proxy.address, timeout=20) as client,
    ):
        stored = await client.upload(image, chunk_size=256 << 10)
        assert proxy.happened == [Fault.CUT]
        assert await client.download(stored.id) == image
        async for one in client.images(page_size=1):
            assert trace.get_current_span().get_span_context().span_id == OUTER.span_id, one
            break
        async for outcome in client.upload_many([image[:100], b"none"]):
            assert outcome.error
        try:
            await client.image("none")
        except errors.ImageNotFound as error:
            print(json.dumps({"request_id": error.request_id}))


provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=f"{sys.argv[2]}/v1/traces")))
trace.set_tracer_provider(provider)
with trace.get_tracer("program").start_as_current_span("program") as span:
    OUTER = span.get_span_context()
    print(json.dumps({"trace": f"{OUTER.trace_id:032x}", "span": f"{OUTER.span_id:016x}"}))
    asyncio.run(interrupted(sys.argv[1]))
    with Client(sys.argv[1]) as blocking:
        blocking.health()
provider.shutdown()
