"""The rest of a large image by HTTP: used where it can be had, and missed by nobody where it cannot."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from conexiones import AsyncClient
from conexiones.sdk import Image, http_body
from conexiones.sdk.connection import Options
from conexiones.sdk.http_body import usable
from conexiones.secret_form import TOKEN, made_of
from conexiones.testing import Server
from tests.sdk.relay import Answer, Get, Relay
from tests.support.bitmaps import bitmap
from tests.support.certificates import authority, mtls
from tests.support.waiting import DEADLINE, until

UNKNOWN = made_of(TOKEN, b"\7" * 32)
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"


LEAST = 1 << 20


@pytest.fixture(autouse=True)
async def _in_time(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(http_body, "LEAST_BYTES", LEAST)
    monkeypatch.setattr(http_body, "OPEN_SECONDS", DEADLINE)  # else a busy machine brings nothing by HTTP
    async with asyncio.timeout(DEADLINE):
        yield


@pytest.fixture(scope="module")
def scan() -> bytes:
    """A BMP of 6 MB."""
    return b"".join(bitmap(2000, 1000))


@pytest.fixture(scope="module")
def image(shared: Server, scan: bytes) -> Image:
    with shared.client() as client:
        return client.upload(scan)


async def test_it_brings_all_but_the_first_bytes(
    shared: Server, image: Image, scan: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "scan.bmp"
    async with Relay(shared.address) as relay, AsyncClient(relay.address) as client:
        assert await client.download(image.id, path) == image
        assert path.read_bytes() == scan
        assert await client.download(image.id) == scan
        # What an earlier process left is gone on with.
        path.with_name("scan.bmp.part").write_bytes(scan[:2_000_000])
        await client.download(image.id, path)
        assert path.read_bytes() == scan
        starts = [_range(head)[0] for head in relay.gets]
        assert len(starts) == 3
        assert all(0 < start < len(scan) - LEAST for start in starts)
        assert starts[2] > 2_000_000


def _range(head: list[str]) -> tuple[int, int]:
    (text,) = [line.removeprefix("Range: bytes=") for line in head if line.startswith("Range: ")]
    first, _, last = text.partition("-")
    return int(first), int(last)


async def test_where_only_the_hash_of_the_whole_could_tell_what_is_wrong_it_needs_that(
    shared: Server, image: Image, scan: bytes, tmp_path: Path
) -> None:
    """Ranges have no hash, and what is in a file of the caller's cannot be taken back."""
    async with Relay(shared.address) as relay, AsyncClient(relay.address) as client:
        assert await client.download(image.id, offset=10) == scan[10:]
        assert await client.download(image.id, limit=len(scan) - 1) == scan[:-1]
        with (tmp_path / "own").open("wb") as file:
            await client.download(image.id, file)
        assert relay.gets == []


async def _nothing(get: Get) -> None:
    pass


async def _not_found(get: Get) -> None:
    get.client.write(NOT_FOUND)


async def _no_http(get: Get) -> None:
    get.client.write(b"no HTTP" * 10_000)


async def _another_range(get: Get) -> None:
    head = await get.server.readuntil(b"\r\n\r\n")
    first, last = _range(get.head)
    get.client.write(head.replace(f"bytes {first}-{last}".encode(), f"bytes {first - 1}-{last - 1}".encode()))


async def _other_bytes(get: Get) -> None:
    head = await get.server.readuntil(b"\r\n\r\n")
    get.client.write(head.replace(b'etag: "', b'etag: "0'))


async def _compressed(get: Get) -> None:
    head = await get.server.readuntil(b"\r\n\r\n")
    get.client.write(head.removesuffix(b"\r\n") + b"content-encoding: gzip\r\n\r\n")


@pytest.mark.parametrize(
    "answer", [_nothing, _not_found, _no_http, _another_range, _other_bytes, _compressed]
)
async def test_another_answer_is_as_none(shared: Server, image: Image, scan: bytes, answer: Answer) -> None:
    async with Relay(shared.address, answer) as relay, AsyncClient(relay.address) as client:
        for _ in range(2):
            assert await client.download(image.id) == scan
        assert len(relay.gets) == 1


async def test_damage_on_the_way(shared: Server, image: Image, scan: bytes, tmp_path: Path) -> None:
    async def damaged(get: Get) -> None:
        await get.pass_on(lambda piece: piece[:-1] + bytes([piece[-1] ^ 1]))

    path = tmp_path / "scan.bmp"
    async with Relay(shared.address, damaged) as relay, AsyncClient(relay.address) as client:
        assert await client.download(image.id, path) == image
        assert path.read_bytes() == scan
        assert len(relay.gets) == 1


async def test_more_than_was_asked_for(shared: Server, image: Image, scan: bytes) -> None:
    async def more(get: Get) -> None:
        await get.pass_on()
        get.client.write(b"and more")

    async with Relay(shared.address, more) as relay, AsyncClient(relay.address) as client:
        assert await client.download(image.id) == scan


async def test_cut_off_it_goes_on_with_what_has_come(
    shared: Server, image: Image, scan: bytes, tmp_path: Path
) -> None:
    async def cut(get: Get) -> None:
        await get.pass_on(most=700_001)

    seen: list[int] = []
    path = tmp_path / "scan.bmp"
    async with Relay(shared.address, cut) as relay, AsyncClient(relay.address) as client:
        assert await client.download(image.id, path, progress=lambda done, _: seen.append(done)) == image
        assert path.read_bytes() == scan
        assert len(relay.gets) == 1  # it did not last, so it is not tried again
    assert seen == sorted(set(seen))


async def test_what_comes_slowly_is_handed_over(shared: Server, image: Image, scan: bytes) -> None:
    taken = asyncio.Event()

    async def slow(get: Get) -> None:
        await get.pass_on(most=100)
        await taken.wait()
        while piece := await get.server.read(1 << 16):
            get.client.write(piece)
            await get.client.drain()

    async with Relay(shared.address, slow) as relay, AsyncClient(relay.address) as client:
        await client.limits()
        body = await http_body.opened(client._connection, image.id, image.etag, 0, len(scan))
        assert body is not None
        pieces = body.pieces(DEADLINE)
        got = bytes(await anext(pieces))
        assert len(got) == 100
        taken.set()
        assert got + b"".join([bytes(piece) async for piece in pieces]) == scan


async def test_silence_is_a_lost_connection(shared: Server, image: Image, scan: bytes) -> None:
    async def silent(get: Get) -> None:
        await get.pass_on(most=100)
        await asyncio.Event().wait()

    async with Relay(shared.address, silent) as relay, AsyncClient(relay.address, timeout=2.0) as client:
        assert await client.download(image.id) == scan


async def test_cancelled_it_leaves_no_connection(shared: Server, image: Image, tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def held(get: Get) -> None:
        asked.set()
        await get.pass_on(most=100)
        while await get.server.read(1 << 16):
            get.client.write(bytes(1 << 16))
            await get.client.drain()

    path = tmp_path / "scan.bmp"
    async with Relay(shared.address, held) as relay, AsyncClient(relay.address) as client:
        task = asyncio.create_task(client.download(image.id, path))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not relay.open)
    assert os.listdir(tmp_path) == ["scan.bmp.part"]  # noqa: PTH208


def _options(**given: Any) -> Options:
    plain: dict[str, Any] = {"tls": False, "ca": None, "cert": None, "key": None}
    times: dict[str, Any] = {"timeout": 30.0, "retries": 0, "patience": 30.0}
    return Options(**{"address": "localhost:1", **plain, **times, **given})


def test_its_connection_is_like_that_of_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("grpc_proxy", "https_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert usable(_options())
    assert usable(_options(ca="ca.pem"))
    assert not usable(_options(tls=True))  # gRPC has certificate authorities of its own
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert not usable(_options())


async def test_with_certificates_and_a_token(
    start: Callable[..., Server], tmp_path: Path, scan: bytes
) -> None:
    certs = authority(tmp_path)
    server = start(auth="required", **mtls(certs))
    shown: dict[str, Any] = {
        "ca": certs / "ca.pem",
        "cert": certs / "client.pem",
        "key": certs / "client.key",
    }
    async with AsyncClient(server.address, token=server.token, **shown) as client:
        image = await client.upload(scan)
        whole = (client._connection, image.id, image.etag, 0, len(scan))
        body = await http_body.opened(*whole)
        assert body is not None
        got = b"".join([bytes(piece) async for piece in body.pieces(DEADLINE)])
        assert got == scan
        assert await client.download(image.id) == scan
        assert client._connection.by_http
    wrongs: tuple[dict[str, Any], ...] = (
        {"token": UNKNOWN},
        {"cert": None, "key": None},
        {"ca": authority(tmp_path / "others") / "ca.pem"},
    )
    for wrong in wrongs:
        async with AsyncClient(server.address, **{"token": server.token, **shown, **wrong}) as client:
            assert await http_body.opened(client._connection, *whole[1:]) is None
