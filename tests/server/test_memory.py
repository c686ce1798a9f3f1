"""The server's memory stays bounded whatever clients send, and however many they are."""

import asyncio
import hashlib
import math
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from conexiones.gen.conexiones.v1.images_pb2 import DownloadImageRequest, WatchImagesRequest
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.gen.user_pb2 import GetImage, GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server
from tests.server.shapes import SHAPES, Target, measure, pss
from tests.support.bitmaps import bitmap
from tests.support.failures import failure, reason
from tests.support.lengths import brief
from tests.support.processes import Meter
from tests.support.waiting import DEADLINE, until

MIB = 1 << 20
SIZE = int(os.environ.get("CONEXIONES_PEAK_BYTES", str(224 * MIB)))
"""The bytes of a stream. With what the server needs itself, they are more than it may take. `make budget`
sends gigabytes."""


@pytest.mark.parametrize("size", brief([65536, 4 * MIB], {4 * MIB}))
def test_a_long_stream(start: Callable[..., Server], size: int) -> None:
    server = start(max_pixels=SIZE)
    expected, sent = hashlib.sha256(), 0
    side = math.isqrt(SIZE // 3) + 1

    def fragments():
        nonlocal sent
        for piece in bitmap(side, side, piece=size):
            expected.update(piece)
            sent += len(piece)
            yield GetImage(image=piece)

    with Meter(server.pid) as meter, grpc.insecure_channel(server.address) as channel:
        reply = UsuarioServicioStub(channel).GetStreamImage(fragments(), timeout=1200)
    assert sent >= SIZE
    assert reply.image_info.sha256 == expected.digest()
    assert reply.image_info.size_bytes == sent
    print(f"{sent} bytes in fragments of {size} bytes: the server's peak was {meter.peak / MIB:.0f} MiB")
    assert meter.peak < 300 * MIB


def test_many_large_messages_wait_for_their_turn(start) -> None:
    server = start(message_budget="192MiB")
    image = b"".join(bitmap(4600, 4600))  # 63 MB, close to the limit of one message
    failures: list[BaseException] = []

    def client() -> None:
        options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        try:
            with grpc.insecure_channel(server.address, options=options) as channel:
                stub = UsuarioServicioStub(channel)
                reply = stub.ProcessImage(GetUserRequest(image=image), timeout=120)
                assert (reply.image_info.width, reply.image_info.size_bytes) == (4600, len(image))
        except BaseException as error:
            failures.append(error)

    with Meter(server.pid) as meter:
        clients = [threading.Thread(target=client) for _ in range(9)]
        for one in clients:
            one.start()
        for one in clients:
            one.join()
    assert failures == []
    print(f"9 messages of 63 MB at once: the server's peak was {meter.peak / MIB:.0f} MiB")
    assert meter.peak < 600 * MIB


async def test_many_uploads_share_the_memory(start) -> None:
    server = start()
    gathered = b"".join(bitmap(560, 560))[:900_000]  # an upload that is alone may keep more in memory
    with Meter(server.pid) as meter:
        channels = [
            grpc.aio.insecure_channel(server.address, options=[("grpc.use_local_subchannel_pool", 1)])
            for _ in range(4)
        ]
        calls = [UsuarioServicioStub(channel).GetStreamImage(timeout=60) for channel in channels * 25]
        for call in calls:
            await call.write(GetImage(image=gathered))
        incoming = server.data_dir / "incoming"
        # Every upload has had to write what it had gathered to a file.
        await until(lambda: len(list(incoming.iterdir())) == 100)
        for call in calls:
            call.cancel()
        for channel in channels:
            await channel.close()
        await until(lambda: not list(incoming.iterdir()))
    print(f"100 uploads of 900 kB, held open: the server's peak was {meter.peak / MIB:.0f} MiB")
    assert meter.peak < 512 * MIB


@pytest.fixture
async def small(start) -> Target:
    """A server with little memory, and what is stored on it."""
    target = Target(start(memory="512MiB"))
    await target.fill(images=20)
    return target


@pytest.mark.parametrize(
    "name",
    brief(
        [
            "900 downloads that are never read",
            "900 downloads over /images/ that are never read",
            "900 streams of events",
            "12 messages of 63 MB at once",
        ],
        {"900 streams of events"},
    ),
)
async def test_the_bound_holds(small: Target, name: str) -> None:
    taken = await measure(small, SHAPES[name])
    print(f"{name}: {taken.peak / MIB:.0f} MiB at most, {taken.after / MIB:.0f} MiB after")
    assert taken.peak < 512 * MIB
    await until(lambda: pss(small.server.pid) < 300 * MIB)  # it is given back
    assert taken.calls  # others were served


async def test_a_download_that_is_not_read_ends_and_goes_on_later(start, tmp_path: Path) -> None:
    target = Target(start(tmp_path))  # which waits long enough for an upload, also on a busy machine
    await target.fill(images=1)
    assert await asyncio.to_thread(target.server.stop) == 0
    target.server = server = start(tmp_path, stall_seconds="0.5", log_level="debug")
    async with target.channel() as channel:
        stub = ImageServiceStub(channel)
        call = stub.DownloadImage(DownloadImageRequest(id=target.large))
        first = await call.read()
        sizes = [len(first.data)]

        async def read_on(call: Any) -> str:
            """The reason for which it ends early, if it does."""
            try:
                while (piece := await call.read()) is not grpc.aio.EOF:
                    sizes.append(len(piece.data))
            except grpc.aio.AioRpcError as error:
                return reason(error)
            return ""

        await until(lambda: "CLIENT_STALLED" in server.log)
        assert await read_on(call) == "CLIENT_STALLED"
        assert sum(sizes) < first.image.size_bytes
        async with asyncio.timeout(DEADLINE):
            # Again and again: on a busy machine this process, too, may be too slow for the server.
            while sum(sizes) < first.image.size_bytes:
                rest = DownloadImageRequest(id=target.large, offset=sum(sizes))
                assert await read_on(stub.DownloadImage(rest)) in {"", "CLIENT_STALLED"}
    assert sum(sizes) == first.image.size_bytes


def test_a_client_that_stalls_in_a_message_is_sent_away(start) -> None:
    server = start(message_budget="3MiB", max_message_bytes="1MiB", stall_seconds="0.5")
    with socket.create_connection(("127.0.0.1", server.port)) as stalled:
        head = b"POST /user.UsuarioServicio/GetUser HTTP/1.1\r\nhost: localhost\r\n"
        head += b"content-type: application/json\r\n"
        stalled.sendall(head + b"content-length: 900000\r\n\r\n" + b" " * 100_000)
        stalled.settimeout(DEADLINE)
        answer = stalled.recv(65536)
        assert b"504 Gateway Timeout" in answer
        assert b"deadline_exceeded" in answer
    with grpc.insecure_channel(server.address) as channel:
        stub = UsuarioServicioStub(channel)
        image = b"".join(bitmap(500, 500))
        assert stub.ProcessImage(GetUserRequest(image=image), timeout=DEADLINE).image_info.width == 500


def test_above_the_limit_of_calls_the_server_is_busy(start) -> None:
    server = start(max_calls="2", wait_seconds="0.2")
    with grpc.insecure_channel(server.address) as channel:
        stub = UsuarioServicioStub(channel)
        watches = [ImageServiceStub(channel).WatchImages(WatchImagesRequest()) for _ in range(2)]
        for watch in watches:
            next(watch)
        busy = (grpc.StatusCode.UNAVAILABLE, "SERVER_BUSY")
        assert failure(stub.GetUser, GetUserRequest(name="Ana")) == busy
        for watch in watches:
            watch.cancel()
        # Nothing tells when the server has learnt of it: until then it is busy.
        ends = time.monotonic() + DEADLINE
        while (got := named(stub, "Ana")) == busy and time.monotonic() < ends:
            pass
        assert got == "Ana"


def named(stub: UsuarioServicioStub, name: str) -> object:
    """The name of the user that comes back, or else the code and the reason of the failure."""
    try:
        return stub.GetUser(GetUserRequest(name=name), timeout=DEADLINE).user.name
    except grpc.RpcError as error:
        return error.code(), reason(error)


def test_a_stream_that_asks_nothing_makes_room(start, photograph: bytes) -> None:
    server = start(max_calls="2")
    release = threading.Event()

    def held():
        yield GetImage(image=photograph)
        release.wait(DEADLINE)

    with grpc.insecure_channel(server.address) as channel:
        stub = UsuarioServicioStub(channel)
        streams = []
        for _ in range(2):  # one after the other, so that the first is silent for longer
            streams.append(stub.ImageStreamReply(held(), timeout=DEADLINE))
            assert next(streams[-1]).image_info.format == "JPEG"
        assert stub.GetUser(GetUserRequest(name="Ana"), timeout=DEADLINE).user.name == "Ana"
        with pytest.raises(grpc.RpcError) as caught:
            list(streams[0])
        assert (caught.value.code(), reason(caught.value)) == (grpc.StatusCode.UNAVAILABLE, "STREAM_IDLE")
        release.set()
