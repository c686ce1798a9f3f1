"""The decoders of a whole server, shared by a greedy client and a good one, which have other addresses."""

import asyncio
import http.client
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import grpc
import psutil

from conexiones.gen.user_pb2 import GetImage, GetUserReply, GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server
from tests.support.bitmaps import bitmap
from tests.support.processes import busy_seconds, decoders, suspend
from tests.support.waiting import DEADLINE, until

GREEDY, GOOD = "127.0.0.1", "127.0.0.2"


@contextmanager
def asking(server: Server, paths: list[str]) -> Iterator[list[socket.socket]]:
    """Connections of the greedy client, each with a request for one of the paths."""
    connections = []
    try:
        for path in paths:
            connection = socket.create_connection((GREEDY, server.port), timeout=DEADLINE)
            connection.sendall(f"GET {path} HTTP/1.1\r\nhost: {GREEDY}\r\n\r\n".encode())
            connections.append(connection)
        yield connections
    finally:
        for connection in connections:
            connection.close()


def unanswered(connections: list[socket.socket]) -> int:
    count = 0
    for connection in connections:
        connection.setblocking(False)
        try:
            connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            count += 1
    return count


def request(server: Server, verb: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """A request of the good client; its status and answer."""
    address = (GOOD, 0)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, DEADLINE, source_address=address)
    with closing(connection):
        connection.request(verb, path, body or None, {"content-type": "application/proto"} if body else {})
        answer = connection.getresponse()
        return answer.status, answer.read()


def store_large(channel: grpc.Channel) -> str:
    """Stores an image whose renditions are dear; gives its id."""
    pieces = (GetImage(image=piece) for piece in bitmap(7000, 5000))
    return str(UsuarioServicioStub(channel).GetStreamImage(pieces, timeout=DEADLINE).image_info.id)


def blobs(server: Server) -> list[Path]:
    return list((server.data_dir / "blobs").rglob("*"))


@contextmanager
def still(worker: psutil.Process) -> Iterator[None]:
    """A decoder that stands still, so that it is not done before others, however busy the machine is."""
    suspend(worker)
    try:
        yield
    finally:
        with suppress(psutil.NoSuchProcess):
            worker.resume()


async def at_work(server: Server) -> psutil.Process:
    """The decoder that has begun something dear."""
    found: list[psutil.Process] = []

    def begun() -> bool:
        found[:] = [one for one in decoders(server.pid) if one.is_running() and busy_seconds([one]) > 1]
        return bool(found)

    await until(begun)
    (worker,) = found
    return worker


async def test_dear_renditions_leave_a_decoder_to_what_is_small(start: Callable[..., Server]) -> None:
    server = start(decode_workers="2", decode_seconds="600")
    with grpc.insecure_channel(server.address) as channel:
        large = store_large(channel)
    paths = [f"/images/{large}?format=avif&width={width}" for width in range(6000, 6040)]
    with asking(server, paths) as greedy, still(await at_work(server)):
        for width in (20, 30):
            image = b"".join(bitmap(40 + width, 40))
            body = GetUserRequest(image=image).SerializeToString()
            status, reply = request(server, "POST", "/user.UsuarioServicio/ProcessImage", body)
            stored = GetUserReply.FromString(reply).image_info
            assert (status, bool(stored.blur_hash)) == (200, True)
            assert request(server, "GET", f"/images/{stored.id}?width={width}")[0] == 200
        # None of the greedy client's renditions is done, and only one of them was begun.
        assert unanswered(greedy) == len(greedy)
    assert "Traceback" not in server.log


async def test_a_call_that_waits_for_a_decoder_holds_no_memory_for_its_image(
    start: Callable[..., Server],
) -> None:
    server = start(decode_workers="1", decode_seconds="600")
    with grpc.insecure_channel(server.address) as channel:
        large = store_large(channel)
    path = "/user.UsuarioServicio/"
    with asking(server, [f"/images/{large}?format=avif&width=6000"]), ThreadPoolExecutor(1) as thread:
        suspend(await at_work(server))  # until it is killed
        stored = len(blobs(server))
        # Together they have more than the memory for messages that are worked on.
        one, other = (
            GetUserRequest(name="a", image=b"".join(bitmap(4400 + more, 4600))).SerializeToString()
            for more in (0, 10)
        )
        waiting = thread.submit(request, server, "POST", f"{path}ProcessImage", one)
        await until(lambda: len(blobs(server)) > stored)
        status, _ = await asyncio.to_thread(request, server, "POST", f"{path}GetUser", other)
        assert (status, waiting.done()) == (200, False)
        for decoder in decoders(server.pid):
            decoder.kill()  # the rendition fails, and the one that waits is next
        assert waiting.result(DEADLINE)[0] == 200


async def test_who_waits_too_long_is_told_so(start: Callable[..., Server]) -> None:
    server = start(decode_workers="1", decode_seconds="600", decode_wait_seconds="0.5")
    with grpc.insecure_channel(server.address) as channel:
        large = store_large(channel)
        small = UsuarioServicioStub(channel).ProcessImage(
            GetUserRequest(image=b"".join(bitmap(30, 20))), timeout=DEADLINE
        )
    with asking(server, [f"/images/{large}?format=avif&width=6000"]), still(await at_work(server)):
        status, answer = request(server, "GET", f"/images/{small.image_info.id}?width=10")
    assert status == 503
    assert b"SERVER_BUSY" in answer
