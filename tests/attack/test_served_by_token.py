"""The short form of some attacks where both clients come from one address, each with a token of its own: what
clients share is divided by owner, not by address."""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import grpc.aio
import pytest

from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server, serve
from tests.attack import tokens
from tests.attack.rows import ROWS, photo, picture
from tests.attack.test_served import RETRIES, SETTINGS, SHORT
from tests.support.attacks.credentials import TOKEN
from tests.support.attacks.pictures import numbered
from tests.support.attacks.target import Tally, Target
from tests.support.bitmaps import bitmap
from tests.support.waiting import DEADLINE, until

TELLING = {
    "trickle": "memory for messages",
    "silent-streams": "places for calls",
    "renditions": "decoders",
    "previews": "decoders",
    "decoded": "decoders in the background",
    "opened": "open uploads",
    "announced": "bytes of open uploads",
    "held-fragments": "buffers of uploads",
    "unread": "memory for replies",
    "lists": "turns at pages",
}
"""Rows, and what the greedy client would keep from others."""


@dataclass(frozen=True, slots=True)
class Attacked:
    server: Server
    images: dict[str, str]
    good: str
    greedy: str


@pytest.fixture(scope="module")
def attacked() -> Iterator[Attacked]:
    with serve(**SETTINGS, auth="required") as server:
        good, greedy = tokens.made(server.address, server.data_dir, "good", "greedy")
        yield Attacked(server, asyncio.run(_stored(server.address, good)), good, greedy)


async def _stored(address: str, token: str) -> dict[str, str]:
    files = {
        "small": photo(),
        "photo": b"".join(bitmap(400, 300)),
        "large": picture(2000),
        "huge": b"".join(bitmap(2600, 2600)),
    }
    async with grpc.aio.insecure_channel(address) as channel:
        client = tokens.WithToken(channel, token, seconds=DEADLINE)
        return {name: (await client.upload(data)).image.id for name, data in files.items()}


_numbers = itertools.count(1)


@pytest.mark.parametrize("row", TELLING)
async def test_the_good_client_is_served(attacked: Attacked, row: str) -> None:
    short, tally = SHORT[row], Tally()
    target = Target(host="127.0.0.1", port=attacked.server.port, source="127.0.0.1", images=attacked.images)
    async with (
        asyncio.timeout(5 * DEADLINE),
        grpc.aio.insecure_channel(
            attacked.server.address, options=[("grpc.service_config", RETRIES)]
        ) as channel,
    ):
        with_token = {"metadata": tokens.metadata(attacked.good), "timeout": DEADLINE}
        users = UsuarioServicioStub(channel)
        client = tokens.WithToken(channel, attacked.good, seconds=DEADLINE)
        await users.GetUser(GetUserRequest(name="Ana"), **with_token)
        TOKEN.set(attacked.greedy)
        attacking = asyncio.create_task(ROWS[row].prepare(**short.options)(target, tally))
        try:
            await until(lambda: tally.total() >= short.begun or attacking.done())
            number = next(_numbers)
            _, processed, uploaded, size = await asyncio.gather(
                users.GetUser(GetUserRequest(name="Ana"), **with_token),
                users.ProcessImage(GetUserRequest(image=numbered(photo(), number)), **with_token),
                client.upload(b"".join(bitmap(600, 600, seed=number))),
                client.rendition(attacked.images["photo"], 64, number),
            )
            assert processed.image_info.format == "JPEG"
            assert uploaded.image.id
            assert size
            if short.refused:
                await until(lambda: tally[f"refused: {short.refused}"])
            assert not attacking.done(), attacking.exception()
            assert not tally["refused: NO_CREDENTIALS"]
        finally:
            attacking.cancel()
            with suppress(asyncio.CancelledError):
                await attacking
