"""Starting, refusing to start, draining, stopping and dying."""

import asyncio
import os
import queue
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from conexiones.gen import user_pb2, user_pb2_grpc
from conexiones.gen.conexiones.v1 import images_pb2, images_pb2_grpc
from conexiones.testing import Server, ServerError, serve
from tests.support.failures import failure, reason
from tests.support.paths import ROOT
from tests.support.processes import envoy, family
from tests.support.waiting import DEADLINE, until

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def run(*args: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Runs `conexiones` with arguments to its end."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CONEXIONES_")}
    return subprocess.run(
        [sys.executable, "-m", "conexiones", *args],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        env=environ | variables,
        check=False,
    )


def test_it_says_in_one_line_when_it_is_ready_and_where(server: Server) -> None:
    assert server.log.count("\n") == 1
    assert server.log.startswith("Conexiones gRPC ")
    assert f"listens on 127.0.0.1:{server.port} (plaintext; gRPC, gRPC-Web, Connect)" in server.log
    assert str(server.data_dir) in server.log


@pytest.mark.parametrize("folder", [ROOT, ROOT / "server", Path("/")])
def test_server_user_starts_it_from_any_folder(tmp_path: Path, folder: Path) -> None:
    script = os.path.relpath(ROOT / "server" / "server_user.py", folder)
    variables = {"CONEXIONES_ADDRESS": "127.0.0.1:0", "CONEXIONES_DATA_DIR": str(tmp_path / "data")}
    with subprocess.Popen(
        [sys.executable, script], cwd=folder, env=os.environ | variables, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        ready = process.stdout.readline()
        process.terminate()
        assert process.wait(DEADLINE) == 0
    assert "listens on 127.0.0.1:" in ready
    assert (tmp_path / "data" / "catalog.sqlite3").exists()


def test_a_flag_wins_over_the_environment(tmp_path: Path) -> None:
    refused = run(
        "serve", "--address=nowhere", CONEXIONES_ADDRESS="127.0.0.1:0", CONEXIONES_DATA_DIR=str(tmp_path)
    )
    assert refused.returncode == 1
    assert refused.stderr == (
        "conexiones: The address 'nowhere' has no port: give HOST:PORT, such as nowhere:50051.\n"
    )


def test_a_second_server_on_the_port_is_refused(shared: Server, tmp_path: Path) -> None:
    second = run("serve", f"--address={shared.address}", f"--data-dir={tmp_path}")
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr == f"conexiones: Cannot listen on {shared.address}: another server listens there.\n"


def test_a_port_that_others_would_share_is_refused(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with (
            pytest.raises(ServerError, match="another server listens there"),
            serve(tmp_path, address=f"127.0.0.1:{other.getsockname()[1]}"),
        ):
            pass


def test_a_second_server_on_the_data_is_refused(shared: Server) -> None:
    second = run("serve", "--address=127.0.0.1:0", f"--data-dir={shared.data_dir}")
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr == f"conexiones: The data folder {shared.data_dir} is in use by another server.\n"


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (
            ["--address=0.0.0.0:0"],
            "0.0.0.0:0 is open to other machines: give --tls-cert and --tls-key, or say --insecure.",
        ),
        (["--address=127.0.0.1:0", "--tls-cert=/nowhere"], "TLS needs both --tls-cert and --tls-key."),
        (["--tls-cert=/nowhere", "--tls-key=/nowhere"], "Cannot read /nowhere."),
        (["--tls-client-ca=/nowhere"], "--tls-client-ca needs --tls-cert and --tls-key."),
        (["--max-pixels=many"], "--max-pixels takes a whole number of at least 1, not 'many'."),
        (
            ["--max-message-bytes=64MiB", "--message-budget=1MiB"],
            "--message-budget must be at least 3 times --max-message-bytes.",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path: Path, flags: list[str], sentence: str) -> None:
    refused = run("serve", f"--data-dir={tmp_path}", *flags)
    assert (refused.returncode, refused.stdout, refused.stderr) == (1, "", f"conexiones: {sentence}\n")


def test_a_file_where_a_folder_has_to_be_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "renditions").touch()
    refused = run("serve", "--address=127.0.0.1:0", f"--data-dir={tmp_path}")
    sentence = f"The server cannot reach its storage. {tmp_path}/renditions: file exists."
    assert (refused.returncode, refused.stdout, refused.stderr) == (1, "", f"conexiones: {sentence}\n")


def test_a_folder_of_a_newer_version_is_refused_in_one_line(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "catalog.sqlite3")) as catalog:
        catalog.execute("PRAGMA user_version = 1000")
    before = (tmp_path / "catalog.sqlite3").read_bytes()
    result = run("serve", "--address", "127.0.0.1:0", "--data-dir", str(tmp_path))
    assert result.returncode == 1
    assert re.fullmatch(
        r"conexiones: .* has schema version 1000, .* start the newer server .*\n", result.stderr
    )
    assert (tmp_path / "catalog.sqlite3").read_bytes() == before


def test_insecure_allows_all_addresses(tmp_path: Path) -> None:
    with (
        serve(tmp_path, address="0.0.0.0:0", insecure="true") as server,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE).status == SERVING


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_drain_lets_streams_finish_and_refuses_new_calls(
    server: Server,
    channel: grpc.Channel,
    stub: user_pb2_grpc.UsuarioServicioStub,
    photograph: bytes,
    number: int,
) -> None:
    to_send: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    requests = (user_pb2.GetImage(image=image) for image in iter(to_send.get, None))
    replies = stub.ImageStreamReply(requests, timeout=DEADLINE)
    to_send.put(photograph)
    assert next(replies).image_info.format == "JPEG"
    statuses = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=DEADLINE)
    assert next(statuses).status == SERVING

    os.kill(server.pid, number)
    assert next(statuses).status == NOT_SERVING
    # On the same connection, because new ones are soon not accepted any more.
    assert failure(stub.GetUser, user_pb2.GetUserRequest(name="Ana"))[0] == grpc.StatusCode.UNAVAILABLE
    to_send.put(photograph)
    assert next(replies).image_info.format == "JPEG"
    to_send.put(None)
    assert list(replies) == []
    assert server.wait() == 0
    assert "cut" not in server.log


def test_after_the_grace_period_streams_are_cut(start, photograph: bytes) -> None:
    server = start(grace_seconds="1.5")
    with grpc.insecure_channel(server.address) as channel:
        held = user_pb2_grpc.UsuarioServicioStub(channel).ImageStreamReply(
            _open_ended(photograph), timeout=DEADLINE
        )
        assert next(held).image_info.format == "JPEG"
        assert server.stop() == 0
        assert "Calls were still in flight after 1.5 seconds; they are cut" in server.log
        with pytest.raises(grpc.RpcError) as cut:
            next(held)
        assert reason(cut.value) == "SERVER_DRAINING"


@pytest.mark.parametrize(("level", "of_envoy"), [("info", False), ("debug", False), ("trace", True)])
def test_the_log_has_lines_of_envoy_only_where_asked_for(start, level: str, of_envoy: bool) -> None:
    server = start(log_level=level)
    assert server.stop() == 0
    assert bool(re.search(r"^\S+ \S+ \w+ envoy\.", server.log, re.MULTILINE)) == of_envoy


def _open_ended(image: bytes):
    yield user_pb2.GetImage(image=image)
    threading.Event().wait(DEADLINE)


def test_a_second_signal_ends_at_once(start, photograph: bytes) -> None:
    server = start(grace_seconds="600")
    with grpc.insecure_channel(server.address) as channel:
        stub = user_pb2_grpc.UsuarioServicioStub(channel)
        held = stub.ImageStreamReply(_open_ended(photograph), timeout=DEADLINE)
        assert next(held).image_info.format == "JPEG"
        statuses = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(), timeout=DEADLINE
        )
        assert next(statuses).status == SERVING
        os.kill(server.pid, signal.SIGTERM)
        assert next(statuses).status == NOT_SERVING
        assert server.stop() == 0


@pytest.mark.parametrize("prepared", [False, True])
def test_a_server_may_be_ended_while_it_starts(tmp_path: Path, prepared: bool) -> None:
    """Also as the first process of a container, which gets no signal that it has no handler for. With its
    private folder, which may have a key, nothing is left."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "conexiones", "serve", "--address=127.0.0.1:0"]
    with subprocess.Popen(
        [*command, f"--data-dir={tmp_path / 'data'}"],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        asyncio.run(until(lambda: any(temporary.iterdir()) if prepared else catches(process.pid)))
        process.terminate()
        said, _ = process.communicate(timeout=DEADLINE)
        assert process.returncode == 0, said
    assert list(temporary.iterdir()) == []


def catches(pid: int) -> bool:
    """Whether a process has a handler for SIGTERM."""
    found = re.search(r"^SigCgt:\s*([0-9a-f]+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(found and int(found[1], 16) >> (signal.SIGTERM - 1) & 1)


def test_nothing_outlives_a_killed_server(server: Server, stub: user_pb2_grpc.UsuarioServicioStub) -> None:
    stub.GetUser(user_pb2.GetUserRequest(name="Ana", pow=7), timeout=DEADLINE)
    everyone = family(server.pid)
    assert envoy(server.pid) in everyone
    server.kill()
    _gone, alive = psutil.wait_procs(everyone, timeout=DEADLINE)
    assert not alive
    # The port and the data folder are free at once.
    server.start()
    with grpc.insecure_channel(server.address) as channel:
        reply = user_pb2_grpc.UsuarioServicioStub(channel).GetUser(
            user_pb2.GetUserRequest(name="Ana"), timeout=DEADLINE
        )
    assert reply.user.pow_squared == 49


def test_the_end_of_envoy_ends_the_server_with_a_line(server: Server) -> None:
    envoy(server.pid).kill()
    assert server.wait() == 1
    assert "The server ended by itself, with status -9" in server.log


def test_healthy_calls_leave_no_line_in_the_log(
    server: Server, channel: grpc.Channel, stub: user_pb2_grpc.UsuarioServicioStub, photograph: bytes
) -> None:
    before = server.log
    for number in range(50):
        stub.GetUser(user_pb2.GetUserRequest(name="Ana", pow=number, image=photograph), timeout=DEADLINE)
    stub.ProcessImage(user_pb2.GetUserRequest(image=photograph), timeout=DEADLINE)
    stub.GetStreamImage(iter([user_pb2.GetImage(image=photograph)]), timeout=DEADLINE)
    list(stub.ImageStreamReply(iter([user_pb2.GetImage(image=photograph)] * 5), timeout=DEADLINE))
    list(stub.GetUserBidiStream(iter([user_pb2.GetUserRequest(name="Ana")] * 5), timeout=DEADLINE))
    url = f"http://{server.address}/user.UsuarioServicio/GetUser"
    subprocess.run(
        ["curl", "-sf", "-H", "content-type: application/json", "-d", '{"name": "Ana"}', url],
        check=True,
        capture_output=True,
    )
    # Clients that go away leave no line either.
    gone = stub.ImageStreamReply(_open_ended(photograph), timeout=DEADLINE)
    next(gone)
    gone.cancel()
    # Every second watcher leaves while the server waits for an event, the others before.
    watching = images_pb2_grpc.ImageServiceStub(channel)
    for number in range(60):
        watch = watching.WatchImages(images_pb2.WatchImagesRequest(), timeout=DEADLINE)
        if number % 2:
            next(watch)
        watch.cancel()
    channel.close()
    assert server.stop() == 0
    after = server.log.removeprefix(before).splitlines()
    assert [line for line in after if "Draining" not in line] == []
