"""The requests of a call as its handler gets them."""

import asyncio

import pytest

from conexiones.gen.user_pb2 import GetImage
from conexiones.transport.chain.memory import Lease, Memory
from conexiones.transport.rpc.codecs import PROTOBUF
from conexiones.transport.rpc.envelopes import Requests, envelope
from conexiones.transport.rpc.grpc import Grpc
from tests.transport.chain.calls import Client, call


@pytest.mark.parametrize("message", [b"", b"\x7a\x03abc"], ids=["empty messages", "unknown fields"])
async def test_many_messages_at_once_let_others_have_their_turn(message: bytes) -> None:
    """A handler may take each of them without waiting for anything."""
    client = Client()
    client.write(envelope([message]) * 10_000, end=True)
    one = call(client)
    one.memory = Lease(Memory(1 << 20, max_message=1000, wait_seconds=10), one.caller, one.body)
    kind = Requests.of(GetImage, max_bytes=1000, streaming_method="/a.B/C", pieces=False)
    turns, ended = 0, False

    async def other() -> None:
        nonlocal turns
        while not ended:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(other())
    exchange = Grpc(one, PROTOBUF, b"application/grpc", lambda error: [])
    assert [request.image for request in [r async for r in exchange.requests(kind)]] == [b""] * 10_000
    ended = True
    await others
    assert turns > 20
