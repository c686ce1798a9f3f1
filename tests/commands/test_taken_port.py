"""The first token of a server whose port another program may take."""

import os
import signal
import socket
from pathlib import Path

import pytest

from conexiones import local_servers
from conexiones.testing import serve
from tests.support.waiting import until


async def test_a_token_is_not_given_to_whoever_takes_the_port_during_a_drain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"HOME": str(tmp_path)}
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    with (
        serve(auth="required", grace_seconds="600", stall_seconds="600") as server,
        socket.create_connection(("127.0.0.1", server.port)) as call,
    ):
        head = (
            f"POST /user.UsuarioServicio/ProcessImage HTTP/1.1\r\nHost: {server.address}\r\n"
            f"Authorization: Bearer {server.token}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n"
        )
        call.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert call.recv(4096).startswith(b"HTTP/1.1 100 ")  # and the server waits for the body
        assert local_servers.admin_token(server.address, [server.data_dir], environ)
        os.kill(server.pid, signal.SIGTERM)
        await until(lambda: _is_free(server.port))
        assert local_servers.admin_token(server.address, [server.data_dir], environ) is None
        server.kill()


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
