"""kill -9 of the server, and of the process that writes, while tokens are made and revoked: nothing that was
revoked comes back, and nothing that was acknowledged is lost."""

import asyncio
import random
import sys
import threading
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from conexiones.gen.conexiones.v1.access_pb2 import CreateTokenRequest, ListTokensRequest, RevokeTokenRequest
from conexiones.gen.conexiones.v1.access_pb2_grpc import AdminServiceStub
from conexiones.gen.conexiones.v1.uploads_pb2 import CreateTicketRequest, GetLimitsRequest
from conexiones.gen.conexiones.v1.uploads_pb2_grpc import UploadServiceStub
from conexiones.testing import serve
from tests.support.failures import reason
from tests.support.lengths import kills
from tests.support.processes import writers
from tests.support.waiting import DEADLINE, until

KILLS = kills()


class Known:
    """What was acknowledged: secrets of tokens and tickets by whether they work. None while that is being
    changed."""

    def __init__(self) -> None:
        self.works: dict[str, bool | None] = {}
        self.acknowledged = threading.Event()
        self.ended = threading.Event()


def metadata(secret: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {secret}")]


def change(address: str, secret: str, known: Known) -> None:
    """Makes tokens with a ticket each and revokes every other one, until the server is gone."""
    call = {"metadata": metadata(secret), "timeout": DEADLINE}
    with grpc.insecure_channel(address) as channel, suppress(grpc.RpcError):
        admin, uploads = AdminServiceStub(channel), UploadServiceStub(channel)
        number = 0
        while not known.ended.is_set():
            made = admin.CreateToken(CreateTokenRequest(name="one", scopes=["SCOPE_WRITE"]), **call)
            known.works[made.secret] = True
            ticket = uploads.CreateTicket(
                CreateTicketRequest(), metadata=metadata(made.secret), timeout=DEADLINE
            )
            known.works[ticket.secret] = True
            number += 1
            if number % 2 == 0:
                known.works[made.secret] = known.works[ticket.secret] = None
                admin.RevokeToken(RevokeTokenRequest(id=made.token.id), **call)
                known.works[made.secret] = known.works[ticket.secret] = False
                known.acknowledged.set()


def outcome(stub: UploadServiceStub, secret: str) -> bool:
    try:
        stub.GetLimits(GetLimitsRequest(), metadata=metadata(secret), timeout=DEADLINE)
    except grpc.RpcError as error:
        if reason(error) != "TOKEN_REVOKED":
            raise
        return False
    return True


@pytest.mark.parametrize("victim", ["server", "writer"])
def test_nothing_revoked_comes_back(tmp_path: Path, victim: str) -> None:
    known, dice = Known(), random.Random(7)
    with serve(tmp_path, auth="required") as server:
        secret = (tmp_path / "admin-token").read_text().strip()
        for _ in range(KILLS):
            known.acknowledged.clear()
            threads = [
                threading.Thread(target=change, args=(server.address, secret, known)) for _ in range(3)
            ]
            for thread in threads:
                thread.start()
            assert known.acknowledged.wait(DEADLINE)
            for _ in range(dice.randrange(3)):
                known.acknowledged.clear()
                known.acknowledged.wait(DEADLINE)
            if victim == "writer":
                for process in writers(server.pid):
                    process.kill()
                known.ended.set()
                for thread in threads:
                    thread.join(DEADLINE)
                known.ended.clear()
            server.kill()
            for thread in threads:
                thread.join(DEADLINE)
                assert not thread.is_alive()
            server.start()
            with grpc.insecure_channel(server.address) as channel:
                stub = UploadServiceStub(channel)
                for one, works in known.works.items():
                    found = outcome(stub, one)
                    assert works in (None, found), "acknowledged, and lost by the kill"
                    known.works[one] = found
        assert {True, False} <= set(known.works.values())


async def test_the_first_token_works_wherever_the_first_start_was_killed(tmp_path: Path) -> None:
    """Also the token that somebody has read from the file before it was in the catalog."""
    file = tmp_path / "admin-token"
    read = set()
    for _ in range(3):
        command = [sys.executable, "-m", "conexiones", "serve", "--auth", "required"]
        command += ["--address", "127.0.0.1:0", "--data-dir", str(tmp_path)]
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(*command, stdout=quiet, stderr=quiet)
        try:
            await until(file.exists)
        finally:
            process.kill()
            await process.wait()
        read.add(file.read_text().strip())
    (secret,) = read
    with serve(tmp_path, auth="required") as server, grpc.insecure_channel(server.address) as channel:
        call = {"metadata": metadata(secret), "timeout": DEADLINE}
        listed = AdminServiceStub(channel).ListTokens(ListTokensRequest(), **call)
        assert [token.name for token in listed.tokens] == ["admin"]
        assert file.stat().st_mode & 0o777 == 0o600
