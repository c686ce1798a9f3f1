"""A handler that fails costs its own call alone: its text reaches no client, and the server goes on."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server
from tests.support.failures import failure
from tests.support.waiting import DEADLINE
from tests.transport.application import serving
from tests.transport.chain.faulty import SECRET


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving("tests.transport.chain.faulty", tmp_path_factory.mktemp("faulty") / "data") as server:
        yield server


@pytest.mark.parametrize(
    "name",
    [
        "SystemExit",
        "KeyboardInterrupt",
        "GeneratorExit",
        "RuntimeError",
        "TimeoutError",
        "OSError",
        "CancelledError",
    ],
)
def test_a_handler_that_fails_costs_one_call(faulty: Server, name: str) -> None:
    code, reason = grpc.StatusCode.INTERNAL, "INTERNAL"
    if name == "CancelledError":
        code, reason = grpc.StatusCode.CANCELLED, "CANCELLED"
    with grpc.insecure_channel(faulty.address) as channel:
        stub = UsuarioServicioStub(channel)
        for _ in range(3):
            assert failure(stub.GetUser, GetUserRequest(name=name)) == (code, reason)
            assert failure(stub.GetUserBidiStream, iter([GetUserRequest(name=name)])) == (code, reason)
            assert stub.GetUser(GetUserRequest(name="Ana", pow=2), timeout=DEADLINE).user.pow_squared == 4


def test_no_text_of_an_exception_reaches_a_client(tmp_path: Path) -> None:
    with serving("tests.transport.chain.faulty", tmp_path / "data") as faulty:
        with grpc.insecure_channel(faulty.address) as channel:
            stub = UsuarioServicioStub(channel)
            for name in ("SystemExit", "RuntimeError", "OSError"):
                with pytest.raises(grpc.RpcError) as caught:
                    stub.GetUser(GetUserRequest(name=name), timeout=DEADLINE)
                error: Any = caught.value
                answer = repr((error.details(), error.trailing_metadata(), error.initial_metadata()))
                assert "secret" not in answer
                assert "Error" not in answer.replace("ErrorInfo", "")
                assert not re.search(r"/\w+/\w", answer.replace("type.googleapis.com/google.rpc", ""))
        faulty.stop()
        # The log is where causes go.
        assert faulty.log.count(f"RuntimeError: {SECRET}") == 1
        assert "Traceback" in faulty.log


@pytest.mark.parametrize("attempts", [2, 4])
def test_retry_policies_of_grpc_fire(start, attempts: int) -> None:
    server = start(log_level="debug")
    policy = (
        '{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": %d, "initialBackoff": "0.01s",'
        ' "maxBackoff": "0.01s", "backoffMultiplier": 1, "retryableStatusCodes": ["INVALID_ARGUMENT"]}}]}'
    )
    options = [("grpc.service_config", policy % attempts), ("grpc.enable_retries", 1)]
    with grpc.insecure_channel(server.address, options=options) as channel:
        stub = UsuarioServicioStub(channel)
        assert failure(stub.GetUser, GetUserRequest())[1] == "EMPTY_NAME"
    server.stop()
    assert server.log.count("user.UsuarioServicio/GetUser: EMPTY_NAME") == attempts
