"""An error is read by clients that have much to send when it comes, and read nothing before it is sent."""

import base64
import json
import socket
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from conexiones.gen.conexiones.v1.uploads_pb2 import WriteStreamRequest
from conexiones.gen.user_pb2 import GetImage, GetUserRequest
from conexiones.testing import Server
from tests.support.clients import node
from tests.support.paths import WEB
from tests.support.waiting import DEADLINE

MANY = 24_000_000
"""More bytes than the 10 MB from which on Node's http2 takes no headers, and than sockets hold."""

UNARY, STREAM = "/user.UsuarioServicio/ProcessImage", "/user.UsuarioServicio/GetStreamImage"


def enveloped(message: bytes) -> bytes:
    return b"\x00" + len(message).to_bytes(4) + message


def in_json(data: bytes) -> bytes:
    return json.dumps({"image": base64.b64encode(data).decode()}).encode()


BODIES: dict[tuple[str, str], Callable[[], bytes]] = {
    ("application/grpc", UNARY): lambda: enveloped(GetUserRequest(image=bytes(MANY)).SerializeToString()),
    ("application/grpc", STREAM): lambda: 2 * enveloped(GetImage(image=bytes(MANY)).SerializeToString()),
    ("application/proto", UNARY): lambda: GetUserRequest(image=bytes(MANY)).SerializeToString(),
    ("application/json", UNARY): lambda: in_json(bytes(MANY)),
    ("application/connect+json", STREAM): lambda: 2 * enveloped(in_json(bytes(MANY))),
    ("application/connect+proto", STREAM): lambda: enveloped(GetImage(image=bytes(MANY)).SerializeToString()),
}


@pytest.fixture
def strict(sharing: Callable[..., Server]) -> Server:
    """A server that takes messages of at most a MiB."""
    return sharing(max_message_bytes="1MiB")


def answered(server: Server, path: str, kind: str, body: Path) -> bytes:
    """What Node's http2 gets."""
    command = [node(), str(WEB / "http2.mjs"), server.address, path, kind, str(body)]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=DEADLINE).stdout


@pytest.mark.parametrize(("kind", "path"), BODIES)
def test_over_http2(strict: Server, tmp_path: Path, kind: str, path: str) -> None:
    body = tmp_path / "body"
    body.write_bytes(BODIES[kind, path]())
    assert b"The message is larger than the limit of 1048576 bytes" in answered(strict, path, kind, body)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        (STREAM, b"The message cannot be read as user.GetImage."),
        ("/conexiones.v1.UploadService/WriteStream", b"There is no upload with this id"),
        ("/user.UsuarioServicio/Nothing", b"The server has no such method."),
    ],
)
@pytest.mark.parametrize("kind", ["application/grpc", "application/connect+proto"])
def test_other_errors_over_http2(
    shared: Server, tmp_path: Path, kind: str, path: str, sentence: bytes
) -> None:
    """A second message follows the one for which the call fails."""
    body = tmp_path / "body"
    body.write_bytes(2 * enveloped(WriteStreamRequest(upload_id="x", data=bytes(MANY)).SerializeToString()))
    assert sentence in answered(shared, path, kind, body)


@pytest.mark.parametrize(
    ("kind", "path", "expected"),
    [
        ("application/proto", UNARY, b"The message is larger than the limit"),
        ("application/json", UNARY, b"The message is larger than the limit"),
        ("application/connect+proto", STREAM, b"The message is larger than the limit"),
        ("text/plain", "/nowhere", b"UNKNOWN_METHOD"),
    ],
)
def test_over_http1(strict: Server, kind: str, path: str, expected: bytes) -> None:
    """The client sends all before it reads anything."""
    body = BODIES.get((kind, path), lambda: bytes(MANY))()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    with closing(socket.create_connection(("127.0.0.1", strict.port), timeout=DEADLINE)) as connection:
        connection.sendall(head.encode() + body)
        answer = b""
        while piece := connection.recv(1 << 16):
            answer += piece
    assert expected in answer
