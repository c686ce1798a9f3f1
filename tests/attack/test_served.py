"""The short form of every attack: the good client is served while it goes on, and answered right after it.

Nothing here measures time. The attacks are those of `make attack` with less of everything, against one server
whose limits are as much lower.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
import pytest

from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.sdk.blocking import Client
from conexiones.sdk.client import AsyncClient
from conexiones.sdk.renditions import Rendition
from conexiones.testing import Server, serve
from tests.attack.rows import ROWS, photo, picture, sample
from tests.support.attacks.pictures import frames, numbered, pieces, scans
from tests.support.attacks.target import Tally, Target
from tests.support.bitmaps import bitmap
from tests.support.lengths import brief
from tests.support.processes import envoy
from tests.support.waiting import DEADLINE, until

MIB = 1 << 20

SETTINGS: dict[str, Any] = {
    "max_calls": "100",
    "max_connections": "200",
    "max_open_uploads": "40",
    "max_open_bytes": "64GiB",
    "stall_seconds": "5",
    "idle_seconds": "2",
    "upload_idle_seconds": "2",
}


ANOTHER = "127.0.0.77"
"""The address of a client that has room for uploads, whatever row came before: those that get a byte now and
then keep the room of their own client."""

# A connection that is idle may be closed in the instant in which a call begins on it.
RETRIES = json.dumps(
    {
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 5,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    }
)


@dataclass(frozen=True, slots=True)
class Short:
    """How a row is made short.

    begun: how much the attack has to have done (the sum of its tally) before the good client begins.
    refused: the reason with which the greedy client must have been refused by the end, if any.
    options: those of the attack that are changed.
    """

    begun: int = 1
    refused: str = ""
    options: dict[str, Any] = field(default_factory=dict)


def _short(begun: int = 1, refused: str = "", **options: Any) -> Short:
    return Short(begun, refused, options)


SHORT: dict[str, Short] = {
    "gzip-members": _short(4, "MALFORMED_REQUEST", size=200_000),
    "gzip-members-small": _short(16),
    "gzip-members-grpc": _short(8, size=200_000),
    "gzip-bomb": _short(16, size=8 * MIB),
    "json-lists": _short(2, size=4 * MIB),
    "json-small": _short(8, size=200_000),
    "json-keys": _short(2, size=4 * MIB),
    "json-text": _short(2, size=MIB),
    "json-image": _short(2, "NOT_AN_IMAGE", size=4 * MIB),
    "web-text": _short(2, size=4 * MIB),
    "unknown-fields": _short(2, size=4 * MIB),
    "nested": _short(2, size=4 * MIB),
    "no-images": _short(4, size=8 * MIB),
    "no-images-same": _short(4, size=8 * MIB),
    "refused-in-stream": _short(3, size=8 * MIB),
    "refused-in-bidi": _short(3, size=8 * MIB),
    "refused-in-small": _short(3, size=8 * MIB),
    "empty-messages": _short(2000),
    "one-byte-fragments": _short(2000),
    "trickle": _short(2),
    "trickle-same": _short(2),
    "trickle-half": _short(2, first=4 * MIB),
    "trickle-many": _short(80, streams=20, connections=4),
    "trickle-clients": _short(50, clients=50),
    "trickle-http1": _short(8),
    "trickle-small": _short(100, streams=20),
    "renditions": _short(50, count=50),
    "renditions-same": _short(50, count=50),
    "renditions-grpc": _short(50, streams=50),
    "renditions-dropped": _short(24),
    "renditions-cheap": _short(50),
    "previews": _short(4, streams=4),
    "decoded": _short(8, streams=8),
    "scans": _short(8, image=scans(photo(), 4000)),
    "scans-cut": _short(8, image=scans(photo(), 4000)),
    "pieces": _short(8, image=pieces(sample("transparent.png"), 10_000)),
    "frames": _short(8, image=frames(sample("animated.gif"), 10_000)),
    "idle": _short(200, count=200),
    "idle-http2": _short(200, count=200),
    "half-request": _short(200, count=200),
    "no-body": _short(200, count=200),
    "churn": _short(100),
    "silent-streams": _short(100, streams=100),
    "silent-streams-same": _short(100, streams=100),
    "silent-streams-10": _short(100, streams=10),
    "silent-calls": _short(100, streams=10),
    "silent-reflection": _short(100, streams=10),
    "reflection": _short(2000, streams=20),
    "watchers": _short(100, streams=100),
    "health-watchers": _short(200, streams=200),
    "pipelined": _short(500),
    "cancelled": _short(100),
    "unknown": _short(100),
    "announced": _short(8, "UPLOAD_BYTES_EXCEEDED"),
    "opened": _short(40, "TOO_MANY_UPLOADS"),
    "dribbled": _short(8, count=8, size=16 << 30),
    "tiny-chunks": _short(16),
    "made-and-cancelled": _short(32),
    "unfinished": _short(16, "UPLOAD_INCOMPLETE"),
    "small-stored": _short(100, streams=8),
    "small-reused": _short(50, streams=8),
    "silent-writers": _short(10, streams=10),
    "held-fragments": _short(40, streams=10),
    "unread": _short(60, streams=20, connections=3),
    "unread-window-0": _short(60, streams=20, connections=3),
    "unread-http1": _short(50, connections=50),
    "ranges": _short(50),
    "ranges-many": _short(50),
    "lists": _short(50, streams=50),
    "lists-json": _short(50, connections=50),
    "status": _short(50, streams=50),
    "page": _short(50),
    "rapid-reset": _short(400),
    "reset-refused": _short(400),
    "reset-whole": _short(400),
    "reset-error": _short(100),
    "call-and-leave": _short(400),
    "half-open": _short(100),
    "hpack-bomb": _short(400),
    "table-flood": _short(400),
    "large-headers": _short(400),
    "continuation": _short(400),
    "continuation-empty": _short(400),
    "settings-flood": _short(400),
    "ping-flood": _short(400),
    "window-flood": _short(400),
    "priority-flood": _short(400),
    "empty-data": _short(400),
    "no-window": _short(100),
    "slow-headers": _short(100),
    "slow-line": _short(150, connections=150),
    "slow-preface": _short(150, connections=150),
    "slow-body": _short(100, connections=100),
    "users": _short(100),
    "small-images": _short(100, streams=16),
    "large-images": _short(4, side=1000),
    "downloads": _short(8),
}


FEW = {
    *("gzip-members", "json-image", "no-images", "refused-in-small", "one-byte-fragments"),
    *("trickle", "trickle-many"),
    *("renditions", "renditions-dropped", "scans"),
    *("idle", "half-request", "silent-streams", "watchers"),
    *("announced", "opened", "unfinished", "silent-writers"),
    *("unread", "lists"),
    *("rapid-reset", "hpack-bomb", "continuation", "ping-flood"),
    "slow-headers",
    "users",
}
"""Some of each group."""


@dataclass(frozen=True, slots=True)
class Attacked:
    server: Server
    images: dict[str, str]


@pytest.fixture(scope="module")
def attacked() -> Iterator[Attacked]:
    """One server for all attacks, with the images that they ask for."""
    with serve(**SETTINGS) as server, Client(server.address) as client:
        elephant = b"".join(bitmap(400, 300))
        attacked = Attacked(
            server,
            {
                "small": client.upload(photo()).id,
                "photo": client.upload(elephant).id,
                "large": client.upload(picture(2000)).id,
                "huge": client.upload(b"".join(bitmap(2600, 2600))).id,
            },
        )
        yield attacked
        asyncio.run(_after_all(attacked))


async def _after_all(attacked: Attacked) -> None:
    async with grpc.aio.insecure_channel(attacked.server.address) as channel:
        await _served(attacked, channel)
    await _forgotten(attacked.server)


async def _forgotten(server: Server) -> None:
    """Waits until the server holds nothing more for the clients that have gone: neither connections nor bytes
    of images on their way."""
    incoming, front = server.data_dir / "incoming", envoy(server.pid)
    await until(lambda: not list(incoming.iterdir()))
    await until(
        lambda: (
            not [one for one in front.net_connections("tcp") if one.laddr.port == server.port and one.raddr]
        )
    )


@asynccontextmanager
async def _attacking(row: str, attacked: Attacked) -> AsyncIterator[Tally]:
    """The attack of a row, which has begun in earnest, and goes on until the block ends."""
    short, tally = SHORT[row], Tally()
    attack = ROWS[row].prepare(**short.options)
    source = ANOTHER if row == "unfinished" else ROWS[row].source
    target = Target(host="127.0.0.1", port=attacked.server.port, source=source, images=attacked.images)
    attacking = asyncio.create_task(attack(target, tally))
    try:
        await until(lambda: tally.total() >= short.begun or attacking.done())
        yield tally
        assert not attacking.done(), attacking.exception()
    finally:
        attacking.cancel()
        with suppress(asyncio.CancelledError):
            await attacking


_numbers = itertools.count(1)


async def _answered(channel: grpc.aio.Channel) -> None:
    reply = await UsuarioServicioStub(channel).GetUser(GetUserRequest(name="Ana"), timeout=DEADLINE)
    assert reply.user.name == "Ana"


async def _served(attacked: Attacked, channel: grpc.aio.Channel) -> None:
    """Everything that the good client does succeeds."""
    address, number = attacked.server.address, next(_numbers)
    known, image = UsuarioServicioStub(channel), numbered(photo(), number)
    await _answered(channel)
    async with AsyncClient(address, timeout=DEADLINE, patience=DEADLINE) as client:  # a connection of its own
        found = await asyncio.gather(
            known.ProcessImage(GetUserRequest(image=image), timeout=DEADLINE),
            client.download(
                attacked.images["photo"], rendition=Rendition(width=64, height=number, fit="cover")
            ),
            client.upload(b"".join(bitmap(600, 600, seed=number)), deadline=DEADLINE),
        )
    assert found[0].image_info.format == "JPEG"
    assert found[2].size_bytes > MIB


def test_every_group_has_rows_in_each_run() -> None:
    assert {ROWS[row].group for row in FEW} == {ROWS[row].group for row in SHORT}


def test_every_row_has_a_short_form() -> None:
    """But for those that differ in size or address alone from one that has, for the noise, and for TLS, which
    the server of the short forms has not."""
    alike = {"nothing", "gzip-bomb-json", "refused-plain", "trickle-fast", "trickle-chunk", "decoded-same"}
    alike |= {"scans-stream", "frames-cut", "silent-fragments", "cancelled-images", "users-same"}
    alike |= {row.name for row in ROWS.values() if row.exempt or row.tls}
    alike |= {
        "small-stored-same",
        "unread-window-1",
        "read-slowly",
        "rapid-reset-4",
        "hpack-bomb-4",
        "idle-many",
    }
    assert ROWS.keys() - SHORT.keys() == alike
    assert SHORT.keys() <= ROWS.keys()


@pytest.mark.parametrize("row", brief(SHORT, FEW))
async def test_the_good_client_is_served(attacked: Attacked, row: str) -> None:
    own = [("grpc.use_local_subchannel_pool", 1), ("grpc.service_config", RETRIES)]
    async with (
        asyncio.timeout(5 * DEADLINE),
        grpc.aio.insecure_channel(attacked.server.address, options=own) as channel,
    ):
        await asyncio.wait_for(channel.channel_ready(), DEADLINE)
        async with _attacking(row, attacked) as tally:
            await _served(attacked, channel)
            if reason := SHORT[row].refused:
                await until(lambda: tally[f"refused: {reason}"])
        # All else that an attack may leave broken is seen by the good client of the next one.
        await _answered(channel)
    assert "Traceback" not in attacked.server.log, attacked.server.log[-9000:]
