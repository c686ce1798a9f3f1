"""The access log of a server: a line for each call, with who, what, how and how long."""

import http.client
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from conexiones.gen.conexiones.v1.images_pb2 import WatchImagesRequest
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.gen.user_pb2 import GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server, serve
from tests.services.test_access import IMAGE, Callers
from tests.services.test_audit import metadata, wait, whole_lines
from tests.support.waiting import DEADLINE

KEYS = [
    *("time", "method", "path", "protocol", "status", "reason", "bytes_in", "bytes_out", "seconds"),
    *("peer", "subject", "credential", "request_id", "trace_id"),
]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Watched(Callers):
    """Callers of a server whose access log is at `path`."""

    path: Path
    server: Server

    def lines(self, method: str, count: int = 1) -> list[dict[str, Any]]:
        """The lines of a method, once there are `count`."""
        wait(lambda: len(self._with(method=method)) >= count)
        return self._with(method=method)

    def line(self, request_id: str) -> dict[str, Any]:
        """The line of a call, once it is there."""
        wait(lambda: self._with(request_id=request_id))
        (line,) = self._with(request_id=request_id)
        return line

    def _with(self, **values: str) -> list[dict[str, Any]]:
        lines = map(json.loads, whole_lines(self.path))
        return [line for line in lines if values.items() <= line.items()]


@pytest.fixture(scope="module")
def _watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("access")
    path = folder / "access.log"
    with serve(folder / "data", auth="required", access_log=str(path), log_format="json") as server:
        made = Watched(server, folder / "data")
        made.path, made.server = path, server
        with made.channel:
            yield made


@pytest.fixture
def watched(_watched: Watched) -> Watched:
    return _watched


def get(watched: Watched, path: str, verb: str = "GET", **headers: str) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection(watched.address, timeout=DEADLINE)
    try:
        connection.request(verb, path, headers=headers)
        reply = connection.getresponse()
        reply.read()
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}
    finally:
        connection.close()


def test_a_call(watched: Watched) -> None:
    stub = UsuarioServicioStub(watched.channel)
    request = GetUserRequest(image=IMAGE)
    reply, call = stub.ProcessImage.with_call(
        request,
        metadata=metadata(watched.admin, ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-00")),
        timeout=DEADLINE,
    )
    id = str(dict(call.initial_metadata())["x-request-id"])
    line = watched.line(id)
    assert list(line) == KEYS
    assert line["time"].endswith("Z")
    assert 0 < line.pop("seconds") < DEADLINE
    assert len(line.pop("credential")) == 16
    assert line.pop("peer").startswith("127.0.0.1:")
    assert line.pop("request_id") == id
    del line["time"]
    assert line == {
        "method": "user.UsuarioServicio/ProcessImage",
        "path": "/user.UsuarioServicio/ProcessImage",
        "protocol": "grpc",
        "status": "OK",
        "reason": "",
        "bytes_in": request.ByteSize() + 5,
        "bytes_out": reply.ByteSize() + 5,
        "subject": "token:admin",
        "trace_id": TRACE,
    }


def test_plain_http_and_its_links(watched: Watched) -> None:
    path = watched.link(id=watched.image())
    plain = path.partition("?")[0]
    assert get(watched, path)[0] == 200
    assert get(watched, path, "HEAD")[0] == 200
    assert get(watched, f"{plain}?signature=wrong")[0] == 401
    assert get(watched, "/nothing\x0bhere".replace("\x0b", "%0b"))[0] == 404
    found, refused = watched.lines("GET", 3)[:2]
    assert (found["path"], found["protocol"], found["status"]) == (plain, "http", "200")
    assert (found["bytes_in"], found["bytes_out"], found["subject"]) == (0, len(IMAGE), "link")
    (head,) = watched.lines("HEAD")
    assert (head["status"], head["bytes_out"]) == ("200", 0)
    assert (refused["status"], refused["reason"], refused["path"]) == ("401", "LINK_INVALID", plain)
    assert "signature" not in watched.path.read_text()


def test_a_stream_has_its_line_at_its_end(watched: Watched) -> None:
    watching = ImageServiceStub(watched.channel).WatchImages(
        WatchImagesRequest(), metadata=metadata(watched.admin), timeout=DEADLINE
    )
    next(watching)
    watching.cancel()
    (line,) = watched.lines("conexiones.v1.ImageService/WatchImages")
    assert (line["status"], line["reason"]) == ("CANCELLED", "CANCELLED")
    assert line["bytes_out"] > 0


def test_nobody_forges_a_line_or_reads_a_secret(watched: Watched) -> None:
    status, headers = get(watched, f"/images/{watched.admin}%0a%7b%7d", "PUT", **{"x-request-id": 'a"}\\n{'})
    assert status == 401
    (line,) = watched.lines("PUT")
    assert (line["path"], line["request_id"]) == ("/images/[secret]\n{}", headers["x-request-id"])
    written = whole_lines(watched.path)
    assert all(list(json.loads(each)) == KEYS for each in written)
    assert watched.admin.encode() not in watched.path.read_bytes()


def test_sighup_opens_it_again(watched: Watched) -> None:
    watched.image()
    moved = watched.path.with_name("access.log.1")
    watched.path.rename(moved)
    watched.server._process.send_signal(signal.SIGHUP)
    wait(watched.path.exists)
    watched.image()
    watched.lines("user.UsuarioServicio/ProcessImage")


def test_standard_output_as_text(start: Callable[..., Server]) -> None:
    server = start(access_log="-")
    with grpc.insecure_channel(server.address) as channel:
        UsuarioServicioStub(channel).GetUser(GetUserRequest(name="Ana"), timeout=DEADLINE)
    wait(lambda: " method=user.UsuarioServicio/GetUser " in server.log)
    (line,) = (line for line in server.log.splitlines() if line.startswith("time="))
    fields = dict(each.split("=", 1) for each in line.split(" "))
    assert list(fields) == [key for key in KEYS if key in fields]
    assert (fields["status"], fields["protocol"]) == ("OK", "grpc")
    assert "subject" not in fields
    # Whoever rotates logs sends it to all servers. The next calls are served by the same process.
    server._process.send_signal(signal.SIGHUP)
    with grpc.insecure_channel(server.address) as channel:
        UsuarioServicioStub(channel).GetUser(GetUserRequest(name="Eva"), timeout=DEADLINE)
    wait(lambda: server.log.count(" method=user.UsuarioServicio/GetUser ") == 2)
    assert "Draining" not in server.log
    assert server.stop() == 0
