"""The body of a request: its pieces, its end, a client that stops, and one that goes away."""

import asyncio

import pytest

from conexiones.errors import Cancelled
from conexiones.transport.chain.body import Body
from tests.support.waiting import DEADLINE, idle
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
    watching = asyncio.create_task(body.disconnected(pause=DEADLINE))
    for _ in range(3):
        client.write(b"", end=True)
    await idle()
    assert client.asked == 2, "and then it pauses"
    watching.cancel()
    watching = asyncio.create_task(body.disconnected())
    client.leave()
    async with asyncio.timeout(DEADLINE):
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
    async with asyncio.timeout(DEADLINE):
        await again
    assert client.asked == 1
