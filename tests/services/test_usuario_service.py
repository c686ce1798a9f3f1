"""The five calls as streams: interleaving, fragments of any size, going away, many at once."""

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conexiones.gen.user_pb2 import GetImage, GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server, serve
from tests.adapters.stored import stored_blobs
from tests.support.bitmaps import bitmap
from tests.support.failures import failure
from tests.support.waiting import DEADLINE, until


async def test_image_stream_reply_is_interleaved(serving: Server, photograph: bytes) -> None:
    async with grpc.aio.insecure_channel(serving.address) as channel:
        call = UsuarioServicioStub(channel).ImageStreamReply(timeout=DEADLINE)
        ids = []
        for number in range(20):
            if number % 4 == 3:
                await call.write(GetImage(image=b"no image"))
                reply = await call.read()
                assert (reply.error.reason, reply.HasField("image_info")) == ("NOT_AN_IMAGE", False)
                assert reply.message.startswith("Imagen rechazada.")
                continue
            await call.write(GetImage(image=photograph))
            # The next image is sent only when the reply to this one has come.
            reply = await call.read()
            assert not reply.HasField("error")
            ids.append(reply.image_info.id)
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
    assert ids == sorted(set(ids))


async def test_get_user_bidi_stream_is_interleaved(serving: Server, photograph: bytes, somebody: str) -> None:
    async with grpc.aio.insecure_channel(serving.address) as channel:
        call = UsuarioServicioStub(channel).GetUserBidiStream(timeout=DEADLINE)

        async def exchange(**request):
            await call.write(GetUserRequest(**request))
            return await call.read()

        reply = await exchange(name=somebody, pow=-46340)
        assert (reply.name, reply.pow, reply.image, list(reply.errors)) == (somebody, 46340**2, b"", [])
        reply = await exchange(name=somebody, pow=46341)
        assert (reply.pow, reply.user.pow_squared) == (0, 46341**2)
        assert [error.reason for error in reply.errors] == ["POW_OVERFLOW"]
        reply = await exchange(name=somebody, image=photograph)
        preview = reply.image
        assert preview[:2] == b"\xff\xd8"
        assert len(preview) < 40_000
        assert (reply.image_info.width, reply.image_info.height) == (1280, 853)
        # With a name alone nothing changes, and the preview is that of the stored image.
        reply = await exchange(name=somebody)
        assert (reply.image, reply.user.pow) == (preview, 46341)
        reply = await exchange(name="", pow=3)
        assert [error.reason for error in reply.errors] == ["EMPTY_NAME"]
        reply = await exchange(name=somebody, image=b"GIF89a")
        assert [error.reason for error in reply.errors] == ["TRUNCATED_IMAGE"]
        reply = await exchange(name=f"Eva, not {somebody}", pow=5)
        assert (reply.pow, list(reply.errors)) == (25, [])
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF


def test_get_user_replaces_only_what_is_given(
    stub: UsuarioServicioStub, photograph: bytes, somebody: str
) -> None:
    name = f"ñandú {somebody}"
    first = stub.GetUser(GetUserRequest(name=name, pow=-(2**31), image=photograph), timeout=DEADLINE)
    assert first.user.pow_squared == 2**62
    assert name in first.message
    assert "JPEG de 1280 × 853" in first.message
    second = stub.GetUser(GetUserRequest(name=name), timeout=DEADLINE)
    assert second.user == first.user
    assert second.image_info == first.image_info
    third = stub.GetUser(GetUserRequest(name=name, pow=3), timeout=DEADLINE)
    assert (third.user.pow, third.user.image_id) == (3, first.user.image_id)
    assert third.user.create_time == first.user.create_time
    assert third.image_info.sha256 == hashlib.sha256(photograph).digest()
    refused = failure(stub.GetUser, GetUserRequest(name=name, pow=9, image=b"no image"))
    assert refused == (grpc.StatusCode.INVALID_ARGUMENT, "NOT_AN_IMAGE")
    assert stub.GetUser(GetUserRequest(name=name), timeout=DEADLINE).user.pow == 3


def test_names_have_one_to_256_characters(stub: UsuarioServicioStub) -> None:
    for name in ("a", "é" * 256, "🐘" * 256, "with\0zero", " "):
        assert stub.GetUser(GetUserRequest(name=name, pow=2), timeout=DEADLINE).user.name == name
    assert failure(stub.GetUser, GetUserRequest(name="é" * 257))[1] == "NAME_TOO_LONG"


PICTURE = b"".join(bitmap(1500, 1000))  # 4.5 MB


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(
        st.one_of(st.just(0), st.just(1), st.integers(1, 5000), st.integers(1, 4 << 20)),
        min_size=1,
        max_size=12,
    )
)
def test_fragments_of_any_size_make_the_image(stub: UsuarioServicioStub, sizes: list[int]) -> None:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(PICTURE[at : at + size])
        at += size
    while at < len(PICTURE):
        pieces.append(PICTURE[at : at + (4 << 20)])
        at += 4 << 20
    reply = stub.GetStreamImage((GetImage(image=piece) for piece in pieces), timeout=DEADLINE)
    assert reply.image_info.sha256 == hashlib.sha256(PICTURE).digest()
    assert (reply.image_info.width, reply.image_info.height) == (1500, 1000)
    assert reply.image_info.size_bytes == len(PICTURE)


def test_fragments_of_one_byte(stub: UsuarioServicioStub) -> None:
    image = b"".join(bitmap(40, 30))
    reply = stub.GetStreamImage((GetImage(image=bytes([byte])) for byte in image), timeout=DEADLINE)
    assert reply.image_info.sha256 == hashlib.sha256(image).digest()


def incoming(server: Server) -> list[Path]:
    return list((server.data_dir / "incoming").iterdir())


def blobs(server: Server) -> set[str]:
    return set(stored_blobs(server.data_dir))


async def test_a_stream_that_is_no_image_is_refused_before_it_ends(serving: Server) -> None:
    async with grpc.aio.insecure_channel(serving.address) as channel:
        call = UsuarioServicioStub(channel).GetStreamImage(timeout=DEADLINE)
        await call.write(GetImage(image=b"no image at all, and that can be told at once. " * 2))
        # The answer comes although the client has not half-closed.
        assert await call.code() == grpc.StatusCode.INVALID_ARGUMENT
        bomb = UsuarioServicioStub(channel).GetStreamImage(timeout=DEADLINE)
        await bomb.write(GetImage(image=next(bitmap(100_000, 100_000))))
        await bomb.write(GetImage(image=bytes(100)))
        assert await bomb.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "10000000000 pixels" in await bomb.details()


@pytest.fixture(scope="module")
def empty() -> Iterator[Server]:
    """A server on which nothing is ever stored."""
    with serve() as server:
        yield server


@pytest.mark.parametrize("way", ["cancel", "deadline", "connection"])
async def test_an_aborted_stream_leaves_nothing(empty: Server, way: str) -> None:
    channel = grpc.aio.insecure_channel(empty.address)
    stub = UsuarioServicioStub(channel)
    # What is written before the deadline has to be so on a busy machine, too.
    call = stub.GetStreamImage(timeout=5 if way == "deadline" else DEADLINE)
    pieces = bitmap(3000, 2000)
    for _ in range(6):
        await call.write(GetImage(image=next(pieces)))
    await until(lambda: incoming(empty) or call.done())  # by its deadline, if the machine is slow
    if way == "cancel":
        call.cancel()
    elif way == "deadline":
        assert await call.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    else:
        await channel.close()
    await until(lambda: not incoming(empty))
    assert not blobs(empty)
    await channel.close()
    async with grpc.aio.insecure_channel(empty.address) as another:
        reply = await UsuarioServicioStub(another).GetUser(GetUserRequest(name="Ana"), timeout=DEADLINE)
        assert reply.user.name == "Ana"


def test_sixty_four_clients_at_once(server: Server, photograph: bytes) -> None:
    failures: list[BaseException] = []
    small = b"".join(bitmap(64, 48))

    def client(number: int) -> None:
        try:
            # A channel of its own makes a connection of its own.
            options = [("grpc.use_local_subchannel_pool", 1)]
            with grpc.insecure_channel(server.address, options=options) as channel:
                stub = UsuarioServicioStub(channel)
                image = b"".join(bitmap(64, 48, seed=number))
                name = f"user {number}"
                assert (
                    stub.GetUser(GetUserRequest(name=name, pow=number, image=image), timeout=60).user.pow
                    == number
                )
                sent = [photograph, image, small]
                replies = stub.ImageStreamReply((GetImage(image=one) for one in sent), timeout=60)
                assert [r.image_info.sha256 for r in replies] == [
                    hashlib.sha256(one).digest() for one in sent
                ]
                streamed = b"".join(bitmap(300, 200, seed=number))
                reply = stub.GetStreamImage(
                    (GetImage(image=streamed[at : at + 4096]) for at in range(0, len(streamed), 4096)),
                    timeout=60,
                )
                assert reply.image_info.sha256 == hashlib.sha256(streamed).digest()
                reply = next(stub.GetUserBidiStream(iter([GetUserRequest(name=name)]), timeout=60))
                assert (reply.pow, reply.image_info.sha256) == (number**2, hashlib.sha256(image).digest())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    # Equal bytes are stored once, even if several clients send them.
    assert len(blobs(server)) == 1 + 64 + 64
    # The copies that are made to describe images go, too.
    asyncio.run(until(lambda: not incoming(server)))
