"""The tutorial's client in Node.js, before a server that asks for a token."""

from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from conexiones.testing import Server, serve
from tests.support.kept import DECODE_SECONDS
from tests.tutorial.test_tutorial_clients import NODE, complaint, run


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    with serve(auth="required", decode_seconds=DECODE_SECONDS) as server:
        yield server


@pytest.fixture(scope="module")
def token(guarded: Server) -> str:
    return (guarded.data_dir / "admin-token").read_text().strip()


def call(address: str, token: str = "", file: str | Path = "") -> CompletedProcess[str]:
    return run(NODE, "--address", address, CONEXIONES_TOKEN=token, CONEXIONES_TOKEN_FILE=file)


def test_it_takes_the_token_from_the_environment(guarded: Server, token: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{token}\n")
    for done in (
        call(guarded.address, token),
        call(guarded.address, f" {token}\n", "/nowhere"),
        call(guarded.address, file=file),
    ):
        assert (done.returncode, done.stderr) == (0, "")
        assert "¡Hola, Ada!" in done.stdout
        assert "Eva: pow al cuadrado" in done.stdout
        assert token not in done.stdout


def test_without_a_token_it_says_what_is_missing(guarded: Server) -> None:
    done = call(guarded.address)
    assert done.returncode == 1
    assert done.stderr.count("UNAUTHENTICATED NO_CREDENTIALS: Esta llamada necesita una credencial") == 5


def test_a_token_does_not_leave_the_machine_without_encryption(token: str) -> None:
    for address in ("192.0.2.1:50051", "localhost.invalid:50051", "127.0.0.1.invalid:50051", "0.0.0.0:50051"):
        done = call(address, token)
        assert complaint(done) == f"El token iría sin cifrar a {address}: indique --tls o --ca."


def test_what_is_no_token_is_not_shown(guarded: Server, token: str, tmp_path: Path) -> None:
    for wrong in (f"{token} {token}", f"{token}\n{token}", f"ñ{token}"):
        said = complaint(call(guarded.address, wrong))
        assert said == "CONEXIONES_TOKEN no es un token: tiene espacios u otros caracteres que no valen."
    missing = tmp_path / "none"
    assert complaint(call(guarded.address, file=missing)) == f"No se puede usar {missing}: no existe."
