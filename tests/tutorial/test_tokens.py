"""The tutorial's clients in Python, before a server that asks for a token."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conexiones.testing import Server, serve
from tests.support.kept import DECODE_SECONDS
from tests.support.waiting import DEADLINE
from tests.tutorial.test_tutorial_clients import CLIENT, complaint, run

PYTHON = ("client_user.py", "usuario.py", "usuario_prueba.py")
each = pytest.mark.parametrize("client", PYTHON)


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    with serve(auth="required", decode_seconds=DECODE_SECONDS) as server:
        yield server


@each
def test_a_client_takes_the_token_from_the_environment(guarded: Server, tmp_path: Path, client: str) -> None:
    file = tmp_path / "token"
    file.write_text(f"{guarded.token}\n")
    for name, value in (("CONEXIONES_TOKEN", guarded.token), ("CONEXIONES_TOKEN_FILE", str(file))):
        done = run(client, "--address", guarded.address, **{name: value})  # type: ignore[arg-type]
        assert (done.returncode, done.stderr) == (0, "")
        assert "¡Hola, Ada!" in done.stdout
        assert guarded.token not in done.stdout


@each
def test_without_a_token_it_says_what_is_missing(guarded: Server, client: str) -> None:
    done = run(client, "--address", guarded.address)
    assert done.returncode == 1, done.stderr
    assert "UNAUTHENTICATED NO_CREDENTIALS: Esta llamada necesita una credencial" in done.stderr


_FAILED_STREAM = """
import gc
import conexion, grpc
from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub

with conexion.connect(conexion.arguments("")) as channel:
    try:
        list(UsuarioServicioStub(channel).GetUserBidiStream(iter([GetUserRequest(name="Ada")])))
    except grpc.RpcError:
        print("failed")
print([type(one).__name__ for one in gc.get_objects() if isinstance(one, grpc.RpcError)])
"""


def test_a_stream_that_failed_does_not_keep_a_program_from_ending(guarded: Server) -> None:
    """Its lock is taken when it is freed, and no thread gives it back any more at the end of the program."""
    command = [sys.executable, "-c", _FAILED_STREAM, "--address", guarded.address]
    done = subprocess.run(command, cwd=CLIENT, capture_output=True, text=True, timeout=DEADLINE)
    assert done.stdout == "failed\n[]\n", done.stderr


@each
def test_a_token_does_not_leave_the_machine_without_encryption(guarded: Server, client: str) -> None:
    for address in ("192.0.2.1:50051", "no.such.host.invalid:50051", "nothing"):
        done = run(client, "--address", address, CONEXIONES_TOKEN=guarded.token)
        assert complaint(done) == f"El token iría sin cifrar a {address}: indique --tls o --ca."


def test_a_file_that_is_not_there(guarded: Server) -> None:
    done = run("client_user.py", "--address", guarded.address, CONEXIONES_TOKEN_FILE="/nowhere")
    assert complaint(done) == "No se puede usar /nowhere: no existe."
