"""The body of a request: its pieces, its end, a client that stops, and one that goes away."""

import asyncio

import pytest

from conexiones.errors import Cancelled
from conexiones.transport.chain.body import FIRST_PAUSE, Body
from tests.transport.chain.calls import Client


async def test_its_pieces_and_its_end() -> None:
    client, ends = Client(), []
    body = Body(client.receive)
    body.on_end = lambda: ends.append(client.asked)
    client.write(b"a")
    client.write(b"")
    client.write(b"b", end=True)
    pieces = []
    while (piece := await body.read()) is not None:
        assert body.ended == (piece == b"b")
        pieces.append(piece)
    assert pieces == [b"a", b"", b"b"]
    assert ends == [3]
    assert await body.read() is None
    assert client.asked == 3, "nothing is asked for behind the end"


@pytest.mark.parametrize("within", [False, True])
async def test_a_client_that_goes_away(within: bool) -> None:
    client = Client()
    body = Body(client.receive)
    client.write(b"a")
    await body.read(within=within)
    client.leave()
    with pytest.raises(Cancelled):
        await body.read(within=within)
    assert not body.ended


async def test_its_end_is_watched_without_hurry() -> None:
    """pyvoy gives empty pieces without end until the client goes away."""
    client = Client()
    body = Body(client.receive)
    client.write(b"", end=True)
    await body.read()
    watching = asyncio.create_task(body.disconnected())
    for _ in range(3):
        client.write(b"", end=True)
    await asyncio.wait([watching], timeout=FIRST_PAUSE / 2)
    assert client.asked == 2
    client.leave()
    async with asyncio.timeout(10):
        await watching


async def test_a_watch_that_is_given_up_leaves_its_question_open() -> None:
    """A receive() that is cancelled makes pyvoy log an error."""
    client = Client()
    body = Body(client.receive)
    watching = asyncio.create_task(body.disconnected())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert (client.asked, client.cancelled) == (1, 0)
    again = asyncio.create_task(body.disconnected())
    client.leave()
    async with asyncio.timeout(10):
        await again
    assert client.asked == 1
