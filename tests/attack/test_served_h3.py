"""The short form of the attacks over HTTP/3, which take a server with TLS."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.sdk.client import AsyncClient
from conexiones.testing import serve
from tests.attack.rows import ROWS
from tests.support import certificates
from tests.support.attacks.target import Tally, Target
from tests.support.bitmaps import bitmap
from tests.support.lengths import brief
from tests.support.waiting import DEADLINE, until

SHORT: dict[str, dict[str, Any]] = {
    "h3-users": {"connections": 4, "streams": 4},
    "h3-silent-streams": {"connections": 2, "streams": 20},
    "h3-unread": {"connections": 2, "streams": 20},
}


def test_every_row_is_here() -> None:
    assert SHORT.keys() == {name for name in ROWS if name.startswith("h3-")}


@pytest.mark.parametrize("row", brief(SHORT, {"h3-silent-streams"}))
async def test_the_good_client_is_served(tmp_path: Path, row: str) -> None:
    certs = certificates.authority(tmp_path / "certs")
    ca = certs / "ca.pem"
    trusted = grpc.ssl_channel_credentials(ca.read_bytes())
    with serve(**certificates.tls(certs)) as server:
        async with (
            asyncio.timeout(3 * DEADLINE),
            grpc.aio.secure_channel(server.address, trusted) as channel,
            AsyncClient(server.address, ca=ca, timeout=DEADLINE) as client,
        ):
            huge = await client.upload(b"".join(bitmap(2600, 2600)))
            target = Target(
                host="127.0.0.1",
                port=server.port,
                source=ROWS[row].source,
                images={"huge": huge.id},
                ca=str(ca),
            )
            tally: Tally = Tally()
            attacking = asyncio.create_task(ROWS[row].prepare(**SHORT[row])(target, tally))
            try:
                await until(lambda: tally["calls"] >= 16 or attacking.done())
                for number in range(5):
                    request = GetUserRequest(name="Ana")
                    reply = await UsuarioServicioStub(channel).GetUser(request, timeout=DEADLINE)
                    assert reply.user.name == "Ana"
                    assert (await client.upload(b"".join(bitmap(600, 600, seed=number)))).size_bytes > 1 << 20
                assert not attacking.done(), attacking.exception()
            finally:
                attacking.cancel()
                with suppress(asyncio.CancelledError):
                    await attacking
    assert "Traceback" not in server.log, server.log[-9000:]
