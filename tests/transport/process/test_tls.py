"""TLS, mTLS and HTTP/3: who is admitted and who is refused; new certificates without a restart."""

import asyncio
import hashlib
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from pyqwest import Client, HTTPTransport, HTTPVersion

from conexiones.gen.user_pb2 import GetImage, GetUserReply, GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server, serve
from tests.support.bitmaps import bitmap
from tests.support.certificates import authority, mtls, tls
from tests.support.failures import failure
from tests.support.waiting import DEADLINE, until

JSON = {"content-type": "application/json"}
PATH = "/user.UsuarioServicio/GetUser"


@pytest.fixture
def certs(tmp_path: Path) -> Path:
    """A CA, and the certificates and keys of a server and of a client."""
    return authority(tmp_path / "certs")


def another(certs: Path, name: str) -> Path:
    """The same of another CA, in a folder beside it."""
    return authority(certs.with_name(name))


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificates of `secured` and `mutual`, which no test changes."""
    return authority(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="module")
def secured(unchanged: Path) -> Iterator[Server]:
    """A server with TLS."""
    with serve(**tls(unchanged)) as server:
        yield server


@pytest.fixture(scope="module")
def mutual(unchanged: Path) -> Iterator[Server]:
    """A server that demands client certificates."""
    with serve(**mtls(unchanged)) as server:
        yield server


def call(server: Server, credentials: grpc.ChannelCredentials) -> str:
    with grpc.secure_channel(f"localhost:{server.port}", credentials) as channel:
        stub = UsuarioServicioStub(channel)
        return stub.GetUser(GetUserRequest(name="Ana"), timeout=DEADLINE).user.name


def refused(server: Server, credentials: grpc.ChannelCredentials) -> bool:
    with grpc.secure_channel(f"localhost:{server.port}", credentials) as channel:
        stub = UsuarioServicioStub(channel)
        return failure(stub.GetUser, GetUserRequest(name="Ana"))[0] == grpc.StatusCode.UNAVAILABLE


def let_in(server: Server, credentials: grpc.ChannelCredentials) -> bool:
    try:
        return call(server, credentials) == "Ana"
    except grpc.RpcError:
        return False


def test_the_command_makes_keys_for_their_owner_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "conexiones", "certs", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    names = ["ca.pem", "server.pem", "server.key", "client.pem", "client.key"]
    assert [Path(line.split()[0]).name for line in done.stdout.splitlines()] == names
    for name in ("server.key", "client.key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert {path.name for path in tmp_path.iterdir()} == set(names), "the key of the CA is not kept"


def test_tls(secured: Server, unchanged: Path, tmp_path: Path) -> None:
    assert "(TLS;" in secured.log
    ca = (unchanged / "ca.pem").read_bytes()
    assert call(secured, grpc.ssl_channel_credentials(ca)) == "Ana"
    assert refused(secured, grpc.ssl_channel_credentials())
    with grpc.insecure_channel(f"localhost:{secured.port}") as channel:
        stub = UsuarioServicioStub(channel)
        assert failure(stub.GetUser, GetUserRequest(name="Ana"))[0] == grpc.StatusCode.UNAVAILABLE
    # Another CA, of the same name.
    other = another(tmp_path, "other")
    assert refused(secured, grpc.ssl_channel_credentials((other / "ca.pem").read_bytes()))


def test_no_copy_of_a_key_is_left_of_a_killed_server(start, certs: Path) -> None:
    server: Server = start(**tls(certs))
    private = Path((server.data_dir / "lock").read_text())
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    key = (certs / "server.key").read_text().splitlines()[1]
    assert any(key in file.read_text() for file in private.glob("*.json"))
    server.kill()
    assert private.exists()
    server.start()
    assert not private.exists()
    now = Path((server.data_dir / "lock").read_text())
    assert now.exists()
    assert server.stop() == 0
    assert not now.exists()


def test_mtls(mutual: Server, unchanged: Path, tmp_path: Path) -> None:
    assert "(mTLS;" in mutual.log
    ca, key, cert = ((unchanged / name).read_bytes() for name in ("ca.pem", "client.key", "client.pem"))
    assert call(mutual, grpc.ssl_channel_credentials(ca, key, cert)) == "Ana"
    assert refused(mutual, grpc.ssl_channel_credentials(ca))
    other = another(tmp_path, "other")
    key, cert = ((other / name).read_bytes() for name in ("client.key", "client.pem"))
    assert refused(mutual, grpc.ssl_channel_credentials(ca, key, cert))


def serial(server: Server, ca: Path) -> int:
    context = ssl.create_default_context(cafile=ca)
    with (
        socket.create_connection(("localhost", server.port), timeout=DEADLINE) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        certificate: dict[str, Any] | None = secure.getpeercert()
        assert certificate
        return int(certificate["serialNumber"], 16)


def swap_symlink(live: Path, folder: Path) -> None:
    """Replaces it in one step, as Kubernetes does with its volumes."""
    fresh = live.with_suffix(".new")
    fresh.symlink_to(folder)
    fresh.replace(live)


async def test_new_certificates_are_used_without_a_restart(start, certs: Path, photograph: bytes) -> None:
    live = certs.with_name("live")
    live.symlink_to(certs)
    server = start(**tls(live))
    first = serial(server, certs / "ca.pem")
    async with grpc.aio.secure_channel(
        f"localhost:{server.port}", grpc.ssl_channel_credentials((certs / "ca.pem").read_bytes())
    ) as channel:
        stream = UsuarioServicioStub(channel).ImageStreamReply(timeout=DEADLINE)
        await stream.write(GetImage(image=photograph))
        assert (await stream.read()).image_info.format == "JPEG"

        second = another(certs, "second")
        swap_symlink(live, second)  # the server notices it without a signal
        await until(lambda: "read again" in server.log)
        await until(lambda: trusted(server, second / "ca.pem"))
        assert serial(server, second / "ca.pem") != first
        with pytest.raises(ssl.SSLCertVerificationError):
            serial(server, certs / "ca.pem")

        third = another(certs, "third")  # copied over the old ones, one file after the other
        for name in ("server.pem", "server.key"):
            (second / name).write_bytes((third / name).read_bytes())
        os.kill(server.pid, signal.SIGHUP)
        await until(lambda: trusted(server, third / "ca.pem"))

        # The stream that has been open since before the changes goes on.
        await stream.write(GetImage(image=photograph))
        assert (await stream.read()).image_info.format == "JPEG"
        stream.cancel()


def trusted(server: Server, ca: Path) -> bool:
    try:
        return serial(server, ca) > 0
    except ssl.SSLCertVerificationError:
        return False


async def test_bad_certificates_leave_the_old_ones_in_use(start, certs: Path) -> None:
    server = start(**tls(certs))
    ca = (certs / "ca.pem").read_bytes()
    key = certs / "server.key"
    # The key of another certificate, no PEM file, and none at all.
    for turn, bad in enumerate(((certs / "client.key").read_bytes(), b"?", None), 1):
        if bad is None:
            key.unlink()
        else:
            key.write_bytes(bad)
        os.kill(server.pid, signal.SIGHUP)
        await until(lambda: server.log.count("The old ones go on.") >= turn)  # noqa: B023 (called in this turn)
        assert call(server, grpc.ssl_channel_credentials(ca)) == "Ana"
    assert "Traceback" not in server.log


async def test_a_new_client_ca_is_used_without_a_restart(start, certs: Path) -> None:
    server = start(**mtls(certs))
    ca, key, cert = ((certs / name).read_bytes() for name in ("ca.pem", "client.key", "client.pem"))
    other = another(certs, "other")
    new = grpc.ssl_channel_credentials(
        ca, (other / "client.key").read_bytes(), (other / "client.pem").read_bytes()
    )
    assert refused(server, new)
    (other / "ca.pem").rename(certs / "ca.pem")
    os.kill(server.pid, signal.SIGHUP)
    await until(lambda: "read again" in server.log)
    await until(lambda: let_in(server, new))
    assert refused(server, grpc.ssl_channel_credentials(ca, key, cert))


@pytest.mark.parametrize("mutual", [False, True])
async def test_a_caller_is_known_by_its_certificate_alone(start, certs: Path, mutual: bool) -> None:
    """A header in which a client names itself is ignored."""
    forged = [("x-forwarded-client-cert", 'Subject="CN=mallory"')]
    ca, key, cert = ((certs / name).read_bytes() for name in ("ca.pem", "client.key", "client.pem"))
    server = start(**(mtls if mutual else tls)(certs), log_level="debug")
    credentials = grpc.ssl_channel_credentials(ca, key, cert)
    with grpc.secure_channel(f"localhost:{server.port}", credentials) as channel:
        stub = UsuarioServicioStub(channel)
        with pytest.raises(grpc.RpcError):
            stub.GetUser(GetUserRequest(), metadata=forged, timeout=DEADLINE)
    await until(lambda: "EMPTY_NAME" in server.log)
    line = next(line for line in server.log.splitlines() if "EMPTY_NAME" in line)
    assert ("CN=Conexiones client" in line) == mutual
    assert "mallory" not in line


async def test_http3_is_a_way_in_with_tls(secured: Server, unchanged: Path) -> None:
    ca = (unchanged / "ca.pem").read_bytes()
    async with HTTPTransport(tls_ca_cert=ca, http_version=HTTPVersion.HTTP3) as transport:
        answer = await Client(transport).post(
            f"https://127.0.0.1:{secured.port}{PATH}", JSON, b'{"name": "Ana"}'
        )
        assert answer.status == 200
        assert json.loads(answer.content)["user"]["name"] == "Ana"


async def test_calls_over_http3_and_http2_meet(start, certs: Path, photograph: bytes) -> None:
    # pyvoy has an event loop for each protocol; the application has one for both.
    server = start(**tls(certs))
    ca = (certs / "ca.pem").read_bytes()
    url = f"https://127.0.0.1:{server.port}"
    small = b"".join(bitmap(40, 30))
    async with (
        HTTPTransport(tls_ca_cert=ca, http_version=HTTPVersion.HTTP3) as h3,
        HTTPTransport(tls_ca_cert=ca, http_version=HTTPVersion.HTTP2) as h2,
    ):

        async def one(transport: HTTPTransport, number: int) -> bytes:
            request = GetUserRequest(
                name=f"user {number}", pow=number, image=photograph if number % 2 else small
            )
            body = request.SerializeToString()
            answer = await Client(transport).post(f"{url}{PATH}", {"content-type": "application/proto"}, body)
            reply = GetUserReply.FromString(answer.content)
            assert reply.user.pow_squared == number**2
            return reply.image_info.sha256

        digests = await asyncio.gather(*(one((h2, h3)[number // 2 % 2], number) for number in range(60)))
        assert set(digests) == {hashlib.sha256(image).digest() for image in (photograph, small)}
        # Each protocol finds what the other one stored.
        for transport in (h2, h3):
            answer = await Client(transport).post(f"{url}{PATH}", JSON, b'{"name": "user 7"}')
            assert json.loads(answer.content)["imageInfo"]["width"] == 1280
    assert server.stop() == 0
    assert "Traceback" not in server.log


async def test_http3_is_no_way_in_with_mtls(mutual: Server, unchanged: Path) -> None:
    ca, key, cert = ((unchanged / name).read_bytes() for name in ("ca.pem", "client.key", "client.pem"))
    # The UDP port can be bound, so nobody listens there for QUIC.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", mutual.port))
    certificates: list[dict[str, Any]] = [{}, {"tls_key": key, "tls_cert": cert}]
    for options in certificates:
        async with HTTPTransport(
            tls_ca_cert=ca, http_version=HTTPVersion.HTTP3, timeout=2, **options
        ) as transport:
            with pytest.raises(Exception, match=r"connect|timed out|request"):
                await Client(transport).post(
                    f"https://127.0.0.1:{mutual.port}{PATH}", JSON, b'{"name": "Ana"}'
                )
    # HTTP/2 and HTTP/1.1 demand a certificate.
    for version in (HTTPVersion.HTTP2, HTTPVersion.HTTP1):
        async with HTTPTransport(tls_ca_cert=ca, http_version=version, timeout=5) as transport:
            with pytest.raises(Exception, match=r"connect|certificate|request"):
                await Client(transport).post(
                    f"https://127.0.0.1:{mutual.port}{PATH}", JSON, b'{"name": "Ana"}'
                )
