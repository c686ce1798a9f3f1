"""/metrics, /livez and /readyz, at an address of their own."""

import asyncio
import os
import signal
import socket
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import grpc
import pytest

from conexiones.gen import user_pb2, user_pb2_grpc
from conexiones.settings import Settings
from conexiones.testing import Server, ServerError
from conexiones.transport.process import plain_http
from conexiones.transport.process.admin_listener import AdminListener, checked
from conexiones.transport.process.place import Place
from conexiones.transport.process.start_error import StartError
from tests.support.clients import need
from tests.support.processes import envoy, suspend
from tests.support.scrapes import ask, scraped, value
from tests.support.waiting import DEADLINE, until

PATHS = ("/metrics", "/livez", "/readyz")


@pytest.fixture
def watched(sharing: Callable[..., Server]) -> Server:
    return sharing(admin_address="127.0.0.1:0")


def raw(server: Server, request: bytes) -> bytes:
    """All that is answered to these bytes."""
    host, _, port = server.admin_address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(1 << 16), b""))


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/livez?verbose"])
def test_probes_are_answered(watched: Server, path: str) -> None:
    answer = ask(watched.admin_address, path)
    assert (answer.status, answer.body) == (200, b"ok\n")
    assert answer.headers["cache-control"] == "no-store"
    head = ask(watched.admin_address, path, verb="HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "3")


def test_nothing_else_is_there(watched: Server) -> None:
    for path in ("/", "/metrics/", "/stats", "/quitquitquit", "/images/"):
        assert ask(watched.admin_address, path).status == 404
    for verb in ("POST", "PUT", "DELETE", "OPTIONS", "get"):
        for path in PATHS:
            answer = ask(watched.admin_address, path, verb=verb)
            assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


def test_none_of_it_is_at_the_address_for_clients(watched: Server) -> None:
    for path in PATHS:
        assert ask(watched.address, path).status == 404


def test_figures_of_ours_and_of_envoy_are_in_one_answer(watched: Server, somebody: str) -> None:
    before = scraped(watched)
    with grpc.insecure_channel(watched.address) as channel:
        stub = user_pb2_grpc.UsuarioServicioStub(channel)
        stub.GetUser(user_pb2.GetUserRequest(name=somebody), timeout=DEADLINE)
        with pytest.raises(grpc.RpcError):
            stub.GetUser(user_pb2.GetUserRequest(name=""), timeout=DEADLINE)
    after = scraped(watched)

    def more(sample: str, **labels: str) -> float:
        return value(after, sample, **labels) - value(before, sample, **labels)

    calls = "rpc_server_call_duration_seconds"
    method = {"rpc_system_name": "grpc", "rpc_method": "user.UsuarioServicio/GetUser"}
    assert more(f"{calls}_count", **method, rpc_response_status_code="OK") == 1
    assert more(f"{calls}_bucket", **method, rpc_response_status_code="OK", le="+Inf") == 1
    assert more(f"{calls}_count", **method, rpc_response_status_code="INVALID_ARGUMENT", error_type="") == 1
    assert more("conexiones_refusals_total", reason="EMPTY_NAME") == 1
    assert more("conexiones_calls_total", credential="none") == 2
    assert more("conexiones_calls_received_bytes_total", protocol="grpc") > 0
    assert more("conexiones_calls_sent_bytes_total", protocol="grpc") > 0
    assert value(after, "target_info", service_name="conexiones") == 1
    assert more("envoy_http_downstream_rq_total") >= 2
    answer = ask(watched.admin_address, "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_many_scrape_at_a_time(watched: Server) -> None:
    asked = (asyncio.to_thread(ask, watched.admin_address, "/metrics") for _ in range(20))
    assert {answer.status for answer in await asyncio.gather(*asked)} == {200}


def test_promtool_finds_nothing_in_our_figures(watched: Server) -> None:
    """Envoy's have names that it would have otherwise, and no descriptions."""
    need("promtool", "apt install prometheus")
    lines = ask(watched.admin_address, "/metrics").body.splitlines(keepends=True)
    ours = b"".join(line for line in lines if b"envoy_" not in line)
    for text, statuses in ((ours, {0}), (b"".join(lines), {0, 3})):  # 3 is for what is bad style
        checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
        assert checked.returncode in statuses, checked.stderr


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": "evil.example:1"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "localhost:1"}, 200),
        ({"host": "[::1]"}, 200),
    ],
)
def test_a_page_of_another_host_reads_nothing(watched: Server, headers: dict[str, str], status: int) -> None:
    for path in PATHS:
        answer = ask(watched.admin_address, path, headers=headers)
        assert answer.status == status
        assert (b"conexiones_" in answer.body) == (status == 200 and path == "/metrics")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\r\n\r\n",
        b"GET /livez\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n",
        b"GET  /livez HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /livez HTTP/2.0\r\nhost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n" + b"x: y\r\n" * 200 + b"\r\n",
        b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * plain_http.HEADERS_BYTES + b"\r\n\r\n",
        b"\xff" * 100 + b"\r\n\r\n",
    ],
    ids=range(10),
)
def test_what_is_no_request_is_refused(watched: Server, request_bytes: bytes) -> None:
    assert raw(watched, request_bytes).startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_a_request_need_not_come_at_once_nor_end_with_its_headers(watched: Server) -> None:
    assert raw(watched, b"GET /livez HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\nok\n")
    proxied = b"GET http://localhost/livez?a=http://b HTTP/1.1\r\nhost: localhost\r\n\r\n"
    assert raw(watched, proxied).endswith(b"\r\n\r\nok\n")
    body = b"POST /livez HTTP/1.1\r\nhost: localhost\r\ncontent-length: 500000\r\n\r\n" + bytes(500_000)
    assert raw(watched, body).startswith(b"HTTP/1.1 405 ")


def test_who_asks_nothing_keeps_nobody_out(watched: Server) -> None:
    host, _, port = watched.admin_address.rpartition(":")
    with ExitStack() as stack:
        for _ in range(plain_http.MOST + 5):
            stack.enter_context(closing(socket.create_connection((host, int(port)), timeout=DEADLINE)))
        assert ask(watched.admin_address, "/livez").status == 200


@pytest.mark.parametrize("path", ["/livez", "/metrics"])
def test_who_stays_after_an_answer_keeps_nobody_out(watched: Server, path: str) -> None:
    host, _, port = watched.admin_address.rpartition(":")
    request = f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
    with ExitStack() as stack:
        for _ in range(plain_http.MOST + 5):
            client = stack.enter_context(
                closing(socket.create_connection((host, int(port)), timeout=DEADLINE))
            )
            client.sendall(request)
            assert client.recv(12) == b"HTTP/1.1 200"
        assert ask(watched.admin_address, "/livez").status == 200


async def test_while_the_server_drains_it_is_alive_and_not_ready(
    start: Callable[..., Server], photograph: bytes
) -> None:
    server = start(admin_address="[::1]:0", grace_seconds="600")
    with grpc.insecure_channel(server.address) as channel:
        stub = user_pb2_grpc.UsuarioServicioStub(channel)
        ended = threading.Event()
        uploading = stub.ImageStreamReply(_until(ended, photograph), timeout=DEADLINE)
        next(uploading)
        assert ask(server.admin_address, "/readyz").status == 200
        os.kill(server.pid, signal.SIGTERM)
        await until(lambda: ask(server.admin_address, "/readyz").status == 503)
        assert ask(server.admin_address, "/readyz").body == b"not ok: the server drains\n"
        assert ask(server.admin_address, "/livez").status == 200
        assert value(scraped(server), "conexiones_calls_active", protocol="grpc") == 1
        uploading.cancel()
        ended.set()  # lets the thread of the requests go
    assert server.wait() == 0


def _until(ended: threading.Event, image: bytes) -> Iterator[user_pb2.GetImage]:
    yield user_pb2.GetImage(image=image)
    ended.wait(DEADLINE)


async def test_a_server_that_has_stopped_is_not_alive(start: Callable[..., Server]) -> None:
    server = start(admin_address="127.0.0.1:0")
    stopped = envoy(server.pid)
    suspend(stopped)
    try:
        asked = (asyncio.to_thread(ask, server.admin_address, path) for path in PATHS)
        for answer in await asyncio.gather(*asked):
            assert (answer.status, answer.body[:7]) == (503, b"not ok:")
    finally:
        stopped.resume()
    await until(lambda: ask(server.admin_address, "/livez").status == 200)


def test_at_a_socket_of_a_folder(start: Callable[..., Server], tmp_path: Path) -> None:
    path = tmp_path / "admin"
    server = start(admin_address=f"unix:{path}")
    assert server.admin_address == f"unix:{path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [*tmp_path.iterdir()] == [path]
    # Nobody could lead a browser here.
    assert ask(server.admin_address, "/livez", headers={"host": "any.example"}).status == 200
    with pytest.raises(ServerError, match=f"Cannot listen on unix:{path}: another server listens there"):
        start(admin_address=f"unix:{path}")
    server.kill()
    assert path.exists()
    server.start()
    assert ask(server.admin_address, "/readyz").status == 200
    server.stop()
    assert not path.exists()
    path.write_text("mine")
    with pytest.raises(ServerError, match="there is a file that is no socket"):
        start(admin_address=f"unix:{path}")
    assert path.read_text() == "mine"


def test_a_port_that_is_taken_is_refused_in_one_line(watched: Server, start: Callable[..., Server]) -> None:
    taken = watched.admin_address
    with pytest.raises(ServerError) as refused:
        start(admin_address=taken)
    assert str(refused.value) == f"conexiones: Cannot listen on {taken}: another server listens there.\n"


@pytest.mark.parametrize(
    ("flags", "refused"),
    [
        ({}, False),
        ({"admin_address": "127.0.0.1:1"}, False),
        ({"admin_address": "[::1]:1"}, False),
        ({"admin_address": "unix:/nowhere/admin"}, False),
        ({"admin_address": "0.0.0.0:1"}, True),
        ({"admin_address": "[::]:1"}, True),
        ({"admin_address": "192.0.2.1:1"}, True),
        ({"admin_address": "0.0.0.0:1", "admin_open": "true"}, False),
        ({"admin_address": "0.0.0.0:1", "insecure": "true"}, False),
        ({"admin_address": "9090"}, True),
        ({"admin_address": "http://127.0.0.1:9090"}, True),
        ({"admin_address": "unix:"}, True),
    ],
)
def test_other_machines_reach_it_only_where_that_is_said(flags: dict[str, str], refused: bool) -> None:
    settings = Settings.load({}, flags)
    if refused:
        with pytest.raises(StartError, match=r"^--admin-address.*\.$"):
            checked(settings)
    else:
        assert (checked(settings) is None) == (not flags)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("unix:/run/a", "unix:/run/a"),
        ("unix:///run/a", "unix:/run/a"),
        ("unix:a", f"unix:{Path.cwd() / 'a'}"),
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("[::1]:80", "[::1]:80"),
    ],
)
def test_places(text: str, shown: str) -> None:
    assert str(Place.parse(text)) == shown


async def test_while_the_server_starts_it_is_alive_and_not_ready(tmp_path: Path) -> None:
    listening = Place.parse(f"unix:{tmp_path}/admin").listen()
    listener = AdminListener(listening, Settings.load({}, {}), tmp_path)
    await listener.open()
    try:
        for path, status in (("/livez", 200), ("/readyz", 503), ("/metrics", 503)):
            assert (await _asked(str(tmp_path / "admin"), path))[:13] == b"HTTP/1.1 %d " % status
    finally:
        await listener.close()


async def _asked(socket_path: str, path: str) -> bytes:
    reader, writer = await asyncio.open_unix_connection(socket_path)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


async def test_a_scrape_as_the_server_ends_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    scraping: list[asyncio.Task[None] | None] = []

    async def never(_: plain_http.Request) -> plain_http.Reply:
        scraping.append(asyncio.current_task())
        await asyncio.Event().wait()
        raise AssertionError

    http = plain_http.PlainHttp(never)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await http.open(listener)
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await until(lambda: scraping)
        (task,) = filter(None, scraping)
        task.cancel()  # as asyncio.run does at the end
        with suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        await http.close()
    assert caplog.records == []


async def test_who_waits_for_one_path_keeps_nobody_from_another() -> None:
    release, asked = asyncio.Event(), asyncio.Semaphore(0)

    async def answer(request: plain_http.Request) -> plain_http.Reply:
        if request.path == "/metrics":
            asked.release()
            await release.wait()
        return plain_http.Reply(200, b"ok")

    async def status(path: str, address: tuple[str, int]) -> bytes:
        reader, writer = await asyncio.open_connection(*address)
        with closing(writer):
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            try:
                return (await reader.read())[9:12]
            except ConnectionError:
                return b""

    http = plain_http.PlainHttp(answer)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        await http.open(listener)
        scrapes = []
        for _ in range(plain_http.MOST + 20):
            scrapes.append(asyncio.create_task(status("/metrics", address)))
            async with asyncio.timeout(DEADLINE):
                await asked.acquire()
        assert [await status("/livez", address) for _ in range(20)] == [b"200"] * 20
        release.set()
        answered = await asyncio.gather(*scrapes)
        assert 0 < answered.count(b"200") <= plain_http.MOST, "those that had waited for longest made room"
        await http.close()
