"""Measures what it costs to know who calls: GetUser with a token against without, and with many tokens."""

import asyncio
import secrets
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import grpc.aio

from bench.images import framed
from bench.load.h2load import h2load
from bench.measures import interleave
from bench.peers.server_process import ServerProcess, ours
from bench.rows import Bench
from bench.rows.users import REQUEST
from conexiones.gen.conexiones.v1.access_pb2 import CreateTokenRequest
from conexiones.gen.conexiones.v1.access_pb2_grpc import AdminServiceStub

ROW = "GetUser with a token"
WITHOUT, WITH, MANY = "without", "with a token", "with one of many tokens"
AT_ONCE = 64


def run(bench: Bench) -> None:
    """Calls per second, on 10 connections with 10 concurrent calls each."""
    calls, tokens = bench.size((20_000, 10_000), (1_000, 100))
    with ExitStack() as stack:
        folder = stack.enter_context(bench.folder())
        body = folder / "body"
        body.write_bytes(framed(REQUEST))
        servers = {
            name: stack.enter_context(ours(folder / name.replace(" ", "-"), auth=auth))
            for name, auth in ((WITHOUT, "none"), (WITH, "required"), (MANY, "required"))
        }
        headers = {
            WITHOUT: [],
            WITH: [_header(_admin(folder / "with-a-token"))],
            MANY: [_header(asyncio.run(_made(servers[MANY], folder / "with-one-of-many-tokens", tokens)))],
        }

        def rate(server: ServerProcess, more: list[str], number: int) -> float:
            path = "/user.UsuarioServicio/GetUser"
            options = {"requests": calls, "connections": 10, "streams": 10}
            load = h2load(server.address, path, body, headers=more, **options)
            # A refusal has no message.
            assert load.received >= calls * len(b"Ana"), "not every call was answered with the user"
            return calls / load.seconds

        contenders = {name: partial(rate, server, headers[name]) for name, server in servers.items()}
        interleave(bench.results, ROW, contenders, unit="calls/s", warm=True)


def _admin(folder: Path) -> str:
    return (folder / "admin-token").read_text().strip()


def _header(secret: str) -> str:
    return f"authorization: Bearer {secret}"


async def _made(server: ServerProcess, folder: Path, count: int) -> str:
    """Makes tokens, and gives one of them."""
    call = {"metadata": [("authorization", f"Bearer {_admin(folder)}")], "timeout": 60}
    request = CreateTokenRequest(name="one", scopes=["SCOPE_WRITE"])
    made: list[str] = []
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = AdminServiceStub(channel)
        while len(made) < count:
            some = await asyncio.gather(*(stub.CreateToken(request, **call) for _ in range(AT_ONCE)))
            made += [one.secret for one in some]
    return secrets.choice(made)
