"""What a service manager is told, by a real server at a real socket."""

import os
import queue
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from conexiones.gen import user_pb2, user_pb2_grpc
from conexiones.testing import Server
from conexiones.transport.process.service_manager import ServiceManager
from tests.support.processes import envoy, suspend
from tests.support.waiting import DEADLINE


class Manager:
    """Listens as systemd does: at all times, since the kernel keeps ten messages and the server waits for no
    manager. A message without a byte ends it."""

    def __init__(self, end: socket.socket) -> None:
        self._came: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._listening = threading.Thread(target=self._listen, args=(end,))
        self._listening.start()

    def _listen(self, end: socket.socket) -> None:
        while message := end.recv(4096):
            self._came.put(message)

    def join(self) -> None:
        self._listening.join()

    def told(self, but: str = "WATCHDOG", *, seconds: float = DEADLINE) -> dict[str, str]:
        """What comes next, without what begins with `but`. Raises queue.Empty."""
        while True:
            message = self._came.get(timeout=seconds).decode()
            found = dict(line.split("=", 1) for line in message.splitlines())
            if but not in found:
                return found

    def drop(self) -> None:
        """Forgets what has come."""
        with suppress(queue.Empty):
            while True:
                self._came.get_nowait()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "300000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        manager = Manager(end)
        yield manager
        end.sendto(b"", str(tmp_path / "notify"))
        manager.join()


def test_the_life_of_a_server(manager: Manager, start: Callable[..., Server]) -> None:
    server = start()
    ready = {"READY": "1", "STATUS": f"Listening on {server.address}"}
    assert manager.told() == ready
    for _ in range(2):
        assert manager.told(but="READY") == {"WATCHDOG": "1"}
    os.kill(server.pid, signal.SIGHUP)
    reloading = manager.told()
    assert reloading.keys() == {"RELOADING", "MONOTONIC_USEC"}
    assert manager.told() == ready
    assert server.stop() == 0
    stopping = manager.told()
    assert stopping["STOPPING"] == "1"
    assert int(stopping["EXTEND_TIMEOUT_USEC"]) > 1_000_000


def test_a_server_that_stops_is_not_said_to_be_ready_again(
    manager: Manager, start: Callable[..., Server], photograph: bytes
) -> None:
    """Logs may be rotated while it drains."""
    server = start()
    assert manager.told()["READY"] == "1"
    to_send: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    with grpc.insecure_channel(server.address) as channel:
        requests = (user_pb2.GetImage(image=image) for image in iter(to_send.get, None))
        replies = user_pb2_grpc.UsuarioServicioStub(channel).ImageStreamReply(requests, timeout=DEADLINE)
        to_send.put(photograph)
        assert next(replies).image_info.format == "JPEG"
        os.kill(server.pid, signal.SIGTERM)
        assert manager.told()["STOPPING"] == "1"
        os.kill(server.pid, signal.SIGHUP)
        to_send.put(photograph)
        assert next(replies).image_info.format == "JPEG"
        to_send.put(None)
        assert list(replies) == []
    assert server.wait() == 0
    with pytest.raises(queue.Empty):
        manager.told(seconds=1)


def test_a_server_that_hangs_is_not_said_to_be_alive(manager: Manager, start: Callable[..., Server]) -> None:
    server = start()
    assert manager.told()["READY"] == "1"
    front = envoy(server.pid)
    suspend(front)
    try:
        manager.drop()  # what was said just before
        heard = 0
        with suppress(queue.Empty):
            while heard < 2:
                manager.told(but="", seconds=2)
                heard += 1
        assert heard < 2, "no more than the answer that was on its way"
    finally:
        front.resume()
    assert manager.told(but="READY") == {"WATCHDOG": "1"}


def test_what_is_not_for_this_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ServiceManager({}).ready("nobody listens")
    assert not caplog.records
    there = {"NOTIFY_SOCKET": str(tmp_path / "none"), "WATCHDOG_USEC": "2000000"}
    assert ServiceManager(there).watchdog_seconds == 2
    assert ServiceManager(there | {"WATCHDOG_PID": "1"}, pid=2).watchdog_seconds is None
    assert ServiceManager(there | {"WATCHDOG_USEC": "soon"}).watchdog_seconds is None
    assert ServiceManager({"WATCHDOG_USEC": "2000000"}).watchdog_seconds is None
    ServiceManager(there).ready("nobody listens")
    assert "was not told READY" in caplog.text


def test_a_name_in_the_abstract_namespace() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind("")  # the kernel finds a name
        ServiceManager({"NOTIFY_SOCKET": "@" + end.getsockname()[1:].decode()}).alive()
        end.settimeout(DEADLINE)
        assert end.recv(100) == b"WATCHDOG=1"
