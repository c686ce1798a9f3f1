"""Measures GetUser: unary calls, each of which registers a user durably."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path

import grpc

from bench.images import framed
from bench.load.h2load import h2load
from bench.measures import Wrong, interleave
from bench.peers.http import PEERS, node
from bench.peers.server_process import ROOT, Failed, ServerProcess, ours, python
from bench.rows import Bench
from bench.rows.uploads import AIO
from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub

ROW = "GetUser, 10 × 10"
OURS = "ours"
GRPC_JS = "@grpc/grpc-js, from memory"

REQUEST = GetUserRequest(name="Ana", pow=7)


def run(bench: Bench) -> None:
    """Calls per second, on 10 connections with 10 concurrent calls each."""
    calls = bench.size(20_000, 1_000)
    with ExitStack() as stack:
        folder = stack.enter_context(bench.folder())
        body = folder / "body"
        body.write_bytes(framed(REQUEST))
        servers = {
            OURS: stack.enter_context(ours(folder / "ours")),
            AIO: stack.enter_context(python("bench.peers.durable", data_dir=folder / "aio")),
        }
        try:
            command: list[str | Path] = [node(), PEERS / "grpc_js.mjs", ROOT / "proto" / "user.proto"]
            servers[GRPC_JS] = stack.enter_context(ServerProcess(command, data_dir=folder / "js"))
        except Failed as missing:
            bench.results.note(f"{GRPC_JS} is left out: {missing}")

        def rate(server: ServerProcess, number: int) -> float:
            path = "/user.UsuarioServicio/GetUser"
            load = h2load(server.address, path, body, requests=calls, connections=10, streams=10)
            with grpc.insecure_channel(server.address) as channel:
                reply = UsuarioServicioStub(channel).GetUser(GetUserRequest(name="Ana"), timeout=30)
            # Errors have no message, so if no call failed, the answers together have at least the size of all
            # greetings.
            if reply.user.pow_squared != 49 or load.received < calls * len(reply.message.encode()):
                raise Wrong("not every call was answered with the user")
            return calls / load.seconds

        contenders = {name: partial(rate, server) for name, server in servers.items()}
        interleave(bench.results, ROW, contenders, unit="calls/s", warm=True)
