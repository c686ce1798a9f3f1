"""The tutorial's clients, as users start them, against a real server."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from conexiones.testing import Server, serve
from tests.commands import forked
from tests.support import certificates
from tests.support.clients import need
from tests.support.kept import DECODE_SECONDS
from tests.support.paths import ROOT

CLIENT = ROOT / "client"
SMALLEST = "client_user.py"
NODE = "client_node.js"
FULL = ("usuario.py", "usuario_prueba.py", NODE)
ALL = (SMALLEST, *FULL)
ANEW = (sys.executable, "-W", "error")
"""The interpreter, as users start it."""
every_client = pytest.mark.parametrize("client", ALL)

PHOTOGRAPH = "JPEG de 1280 × 853 (1091840 píxeles), 317645 bytes"
EMPTY_NAME = "INVALID_ARGUMENT EMPTY_NAME: El nombre está vacío: envía de 1 a 256 caracteres."
NOT_AN_IMAGE = "INVALID_ARGUMENT NOT_AN_IMAGE: Los bytes no son una imagen de ningún formato conocido."
POW_OVERFLOW = "OUT_OF_RANGE POW_OVERFLOW: 50000 al cuadrado es 2500000000: no cabe en 32 bits."


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with serve(decode_seconds=DECODE_SECONDS) as server:
        yield server


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, a server's certificate for localhost alone, and a client's."""
    return certificates.authority(tmp_path_factory.mktemp("certs"), "localhost")


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same files of another CA."""
    return certificates.authority(tmp_path_factory.mktemp("strangers"), "localhost")


@pytest.fixture(scope="module")
def tls(certs: Path) -> Iterator[Server]:
    with serve(decode_seconds=DECODE_SECONDS, **certificates.tls(certs)) as server:
        yield server


@pytest.fixture(scope="module")
def mtls(certs: Path) -> Iterator[Server]:
    with serve(decode_seconds=DECODE_SECONDS, **certificates.mtls(certs)) as server:
        yield server


@cache
def node() -> str:
    """Node.js, with the packages of the client."""
    program = need("node", "make test sets it up")
    if not (CLIENT / "node_modules").is_dir():
        npm = need("npm", "make test sets it up")
        subprocess.run([npm, "ci", "--prefix", str(CLIENT), "--silent"], check=True)
    return program


def run(
    client: str | Path,
    *args: str | Path,
    interpreter: tuple[str, ...] = (),
    cwd: Path = CLIENT,
    timeout: int = 60,
    **environ: str | Path,
) -> subprocess.CompletedProcess[str]:
    """Runs a client to its end. None of the developer's own settings are in its environment.

    Those in Python run in forked processes (tests/commands/forked.py), unless there is an `interpreter`, or
    something for gRPC in the environment.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CONEXIONES_")}
    inherited["CONEXIONES_TIMEOUT"] = "20"
    given = inherited | {name: str(value) for name, value in environ.items()}
    texts = list(map(str, args))
    if (
        not interpreter
        and str(client).endswith(".py")
        and not any(name.startswith("GRPC_") for name in environ)
    ):
        ran = forked.run_program(str(client), texts, cwd, given)
        output, complaints = ran.stdout.decode(), ran.stderr.decode()
        return subprocess.CompletedProcess([str(client), *texts], ran.returncode, output, complaints)
    program = interpreter or ((node(),) if str(client).endswith(".js") else ANEW)
    return subprocess.run(
        [*program, str(client), *texts],
        cwd=cwd,
        env=given,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def sections(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What a successful client showed of each of the five calls."""
    assert (done.returncode, done.stderr) == (0, "")
    parts = re.split(r"^[1-5]\. ", done.stdout, flags=re.MULTILINE)
    assert parts.pop(0) == ""
    return parts


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence that a client which failed said."""
    assert done.returncode == 1
    assert re.fullmatch(r"[^\n]+[.?]\n", done.stderr), done.stderr
    return done.stderr.strip()


@pytest.fixture(params=["client", "elsewhere"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """The folder to run a client in, and the path of the clients' folder relative to it."""
    return (CLIENT, Path()) if request.param == "client" else (tmp_path, CLIENT)


def test_the_smallest_client_registers_a_user(running: Server, place: tuple[Path, Path]) -> None:
    cwd, folder = place
    done = run(folder / SMALLEST, "--address", running.address, cwd=cwd, interpreter=ANEW)
    assert (done.returncode, done.stderr) == (0, "")
    greeting = f"¡Hola, Ada! Tu pow es 12 y su cuadrado es 144. Tu imagen: {PHOTOGRAPH}, id "
    assert done.stdout.startswith(greeting)


@pytest.mark.parametrize("client", FULL)
def test_the_others_show_what_each_call_gave(running: Server, place: tuple[Path, Path], client: str) -> None:
    cwd, folder = place
    as_users_do = () if client == NODE else ANEW
    done = run(folder / client, "--address", running.address, cwd=cwd, interpreter=as_users_do)
    text, whole, fragments, images, users = sections(done)
    assert text.startswith("Texto (GetUser)")
    assert "¡Hola, Ada! Tu pow es 12 y su cuadrado es 144." in text
    assert f"Error provocado: {EMPTY_NAME}" in text
    assert whole.startswith("Imagen completa (ProcessImage)")
    assert f"Imagen procesada: {PHOTOGRAPH}" in whole
    assert fragments.startswith("Imagen por fragmentos (GetStreamImage)")
    assert f"Imagen recibida: {PHOTOGRAPH}" in fragments
    assert "(ImageStreamReply)" in images
    assert f"Imagen recibida: {PHOTOGRAPH}" in images
    assert "Imagen rechazada. Los bytes no son una imagen" in images
    assert NOT_AN_IMAGE in images
    assert "(GetUserBidiStream)" in users
    assert re.search(r"Ada: pow al cuadrado 144, vista previa de [1-9][0-9]{3,4} bytes", users)
    assert "Eva: pow al cuadrado 0, vista previa de 0 bytes" in users
    assert POW_OVERFLOW in users


@pytest.mark.parametrize("client", ["usuario.py", NODE])
def test_streams_take_turns(running: Server, client: str) -> None:
    for section in sections(run(client, "--address", running.address))[3:]:
        assert re.findall("[→←]", section) == ["→", "←"] * 3


@every_client
@pytest.mark.parametrize("how", ["argument", "environment"])
def test_another_image(running: Server, tmp_path: Path, client: str, how: str) -> None:
    image = tmp_path / "punto.png"
    Image.new("RGB", (40, 30)).save(image)
    if how == "argument":
        done = run(client, image, "--address", running.address)
    else:
        done = run(client, CONEXIONES_IMAGE=image, CONEXIONES_ADDRESS=running.address)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"PNG de 40 × 30 (1200 píxeles), {image.stat().st_size} bytes" in done.stdout


@every_client
def test_missing_image(client: str) -> None:
    sentence = "No hay ninguna imagen en nada.jpg: indique otra como primer argumento."
    assert complaint(run(client, "nada.jpg")) == sentence


@every_client
def test_missing_server(client: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        done = run(client, "--address", address)
    assert complaint(done) == f"No se puede conectar con {address}: ¿está en marcha el servidor?"


@every_client
def test_unknown_host(client: str) -> None:
    address = "no-existe.invalid:50051"
    done = run(client, CONEXIONES_ADDRESS=address)
    assert complaint(done).startswith(f"No se puede conectar con {address}")


@every_client
def test_silent_server(client: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        done = run(client, "--address", address, "--timeout", "0.5")
    assert complaint(done) == f"El servidor {address} no respondió a tiempo."


@pytest.mark.parametrize("client", [SMALLEST, "usuario_prueba.py"])
def test_a_refused_call_ends_the_plain_clients(running: Server, client: str) -> None:
    assert complaint(run(client, client, "--address", running.address)) == NOT_AN_IMAGE


@pytest.mark.parametrize("client", ["usuario.py", NODE])
def test_a_refused_call_does_not_keep_the_others_from_the_rest(client: str) -> None:
    too_large = (
        "   Error: RESOURCE_EXHAUSTED MESSAGE_TOO_LARGE: El mensaje supera el límite de 100000 bytes:"
        " envía la imagen en fragmentos con /user.UsuarioServicio/GetStreamImage."
    )
    with serve(decode_seconds=DECODE_SECONDS, max_message_bytes="100000") as server:
        done = run(client, "--address", server.address)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [too_large] * 3
    assert f"Imagen recibida: {PHOTOGRAPH}" in done.stdout.split("3. ")[1]


@every_client
@pytest.mark.parametrize("how", ["flags", "environment", "system"])
def test_tls(tls: Server, certs: Path, client: str, how: str) -> None:
    address, ca = f"localhost:{tls.port}", certs / "ca.pem"
    match how:
        case "flags":
            done = run(client, "--address", address, "--ca", ca)
        case "environment":
            done = run(client, CONEXIONES_ADDRESS=address, CONEXIONES_CA=ca)
        case "system":
            done = run(
                client, CONEXIONES_ADDRESS=address, CONEXIONES_TLS="1", GRPC_DEFAULT_SSL_ROOTS_FILE_PATH=ca
            )
    assert (done.returncode, done.stderr) == (0, "")
    assert "¡Hola, Ada!" in done.stdout


@every_client
def test_server_of_another_ca(tls: Server, strangers: Path, client: str) -> None:
    address = f"localhost:{tls.port}"
    sentence = f"No se acepta el certificado de {address}: indique su CA con --ca."
    assert complaint(run(client, "--address", address, "--ca", strangers / "ca.pem")) == sentence
    assert complaint(run(client, "--address", address, "--tls")) == sentence


@every_client
def test_server_of_another_name(tls: Server, certs: Path, client: str) -> None:
    done = run(client, "--address", f"127.0.0.1:{tls.port}", "--ca", certs / "ca.pem")
    assert complaint(done) == f"El certificado del servidor no es para 127.0.0.1:{tls.port}."


@every_client
def test_tls_on_one_side_only(tls: Server, running: Server, certs: Path, client: str) -> None:
    done = run(client, "--address", running.address, "--ca", certs / "ca.pem")
    expected = f"El servidor {running.address} no usa TLS: quite --tls, --ca, --cert y --key."
    assert complaint(done) == expected
    done = run(client, "--address", tls.address)
    assert complaint(done).startswith(f"El servidor {tls.address} cerró la conexión: quizá exige TLS (--ca)")


@every_client
@pytest.mark.parametrize("how", ["flags", "environment"])
def test_mtls(mtls: Server, certs: Path, client: str, how: str) -> None:
    address = f"localhost:{mtls.port}"
    files = {"ca": certs / "ca.pem", "cert": certs / "client.pem", "key": certs / "client.key"}
    if how == "flags":
        done = run(client, "--address", address, *(f"--{name}={path}" for name, path in files.items()))
    else:
        settings: dict[str, Any] = {f"CONEXIONES_{name.upper()}": path for name, path in files.items()}
        done = run(client, CONEXIONES_ADDRESS=address, **settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert "¡Hola, Ada!" in done.stdout


@every_client
def test_mtls_needs_the_right_certificate(mtls: Server, certs: Path, strangers: Path, client: str) -> None:
    address = f"localhost:{mtls.port}"
    stranger = [f"--cert={strangers / 'client.pem'}", f"--key={strangers / 'client.key'}"]
    for certificate in ([], stranger):
        done = run(client, "--address", address, "--ca", certs / "ca.pem", *certificate)
        assert "un certificado de cliente (--cert y --key)" in complaint(done)


@every_client
def test_files_that_do_not_fit(certs: Path, tls: Server, client: str) -> None:
    assert complaint(run(client, "--cert", certs / "client.pem")) == "Indique --cert y --key juntos."
    assert complaint(run(client, "--ca", "nada.pem")) == "No se puede usar nada.pem: no existe."
    mixed = (f"--cert={certs / 'client.pem'}", f"--key={certs / 'server.key'}")
    done = run(client, "--address", tls.address, *mixed)
    assert complaint(done) == "Los ficheros de --ca, --cert y --key no son PEM válidos o no van juntos."


@every_client
def test_an_empty_image_is_none_to_send(running: Server, tmp_path: Path, client: str) -> None:
    (tmp_path / "zero.jpg").write_bytes(b"")
    done = run(client, "--address", running.address, tmp_path / "zero.jpg")
    assert complaint(done) == f"INVALID_ARGUMENT EMPTY_IMAGE: La imagen {tmp_path / 'zero.jpg'} está vacía."


@every_client
@pytest.mark.parametrize(
    ("url", "instead"),
    [
        ("http://localhost:50051", "localhost:50051"),
        ("HTTP://localhost/x", "localhost:50051"),
        ("https://ana@host:1/?x", "host:1 y --tls"),
    ],
)
def test_a_url_is_no_address(client: str, url: str, instead: str) -> None:
    says = f"La dirección {url} es una URL: indique HOST:PUERTO, por ejemplo --address {instead}."
    assert complaint(run(client, "--address", url)) == says
    assert complaint(run(client, CONEXIONES_ADDRESS=url)) == says


@every_client
def test_a_reader_that_has_gone_is_nothing_to_tell(running: Server, client: str) -> None:
    program = (node(),) if client == NODE else (sys.executable,)
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*program, client, "--address", running.address],
        cwd=CLIENT,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


@every_client
def test_missing_package(tmp_path: Path, client: str) -> None:
    if client == NODE:
        alone = tmp_path / NODE  # with no node_modules beside it, or above it
        alone.write_bytes((CLIENT / NODE).read_bytes())
        assert f"npm ci --prefix {tmp_path}" in complaint(run(alone))
    else:
        done = run(client, interpreter=(sys.executable, "-S"))  # without site-packages
        assert complaint(done).startswith("Falta el paquete grpc: ")


def test_node_reads_no_faster_than_it_sends(running: Server, tmp_path: Path) -> None:
    image = tmp_path / "4MB.bmp"
    Image.effect_noise((1500, 1000), 50).convert("RGB").save(image)
    size = image.stat().st_size
    watch = tmp_path / "watch.js"
    # This makes the network slower than the disk, and counts the writes that did not wait for "drain". Only
    # the call that sends fragments is a Writable; bidirectional calls, and sockets, are Duplex.
    watch.write_text("""
        const { Writable } = require('node:stream');
        const { write } = Writable.prototype;
        let writes = 0, early = 0;
        Writable.prototype.write = function (...args) {
            if (!Object.hasOwn(this, '_write')) {
                const { _write } = this;
                this._write = (chunk, encoding, done) =>
                    _write.call(this, chunk, encoding, (error) => setTimeout(done, 1, error));
            }
            writes += 1;
            early += this.writableNeedDrain;
            return write.apply(this, args);
        };
        process.on('exit', () => console.log(`${writes} writes, ${early} early`));
    """)
    done = run(NODE, image, "--address", running.address, interpreter=(node(), "--require", str(watch)))
    _, whole, fragments, images, users = sections(done)
    for section, count in ((whole, 1), (fragments, 1), (images, 2)):
        assert section.count(f"BMP de 1500 × 1000 (1500000 píxeles), {size} bytes") == count
    assert re.search(r"Ada: pow al cuadrado 144, vista previa de [1-9][0-9]{3,4} bytes", users)
    assert users.endswith(f"{-(-size // 65536)} writes, 0 early\n")


def test_the_lock_file_names_no_registry() -> None:
    assert '"resolved"' not in (CLIENT / "package-lock.json").read_text()
