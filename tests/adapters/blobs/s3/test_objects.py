"""What an object store answers, and what is made of it."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from conexiones.adapters.blobs.s3.objects import ObjectGone, Objects
from conexiones.adapters.blobs.s3.patience import Patience
from conexiones.adapters.blobs.s3.place import BlobPlace
from conexiones.errors import BlobCorrupt, StorageUnavailable
from conexiones.settings import Settings
from conexiones.stores.look import look_at_blobs
from tests.adapters.blobs.s3.holding import holding
from tests.adapters.blobs.s3.restarted import PATIENT
from tests.support.waiting import DEADLINE, idle

NO_BUCKET = b"<Error><Code>NoSuchBucket</Code><Message>There is none.</Message></Error>"
NO_KEY = b"<Error><Code>NoSuchKey</Code><Message>There is none.</Message></Error>"
SLOW_DOWN = b"<Error><Code>SlowDown</Code></Error>"

Answer = tuple[str, bytes]


class Told:
    """A server that gives to each request what `answer` gives for its first line; nothing if that is None."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: Callable[[str], Answer | None] = lambda line: None
        self._silent: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readuntil(b"\r\n\r\n")).decode().partition("\r\n")[0]
        self.asked.append(line)
        if (answer := self.answer(line)) is None:
            self._silent.append(writer)
            return
        status, body = answer
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    def end(self) -> None:
        for writer in self._silent:
            writer.transport.abort()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def objects_of(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[Patience], Objects]]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
    server = await asyncio.start_server(told.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    def objects(patience: Patience) -> Objects:
        found = Objects(BlobPlace(url="s3://bucket", endpoint=f"http://127.0.0.1:{port}"), patience)
        found.open()
        return found

    yield objects
    server.close()
    told.end()
    await idle()


async def test_a_read_that_is_not_answered_is_no_second_request(
    objects_of: Callable[[Patience], Objects], told: Told
) -> None:
    objects = objects_of(Patience(request=2, retries=0))
    with pytest.raises(StorageUnavailable):
        await objects.get("packs/a", 0, 10)
    assert len(told.asked) == 1


async def test_a_read_of_a_busy_store_is_tried_as_often_as_any_request(
    objects_of: Callable[[Patience], Objects], told: Told
) -> None:
    told.answer = lambda line: ("503 Slow Down", SLOW_DOWN)
    with pytest.raises(StorageUnavailable):
        await objects_of(PATIENT).get("packs/a", 0, 10)
    assert len(told.asked) == 1 + PATIENT.retries


async def test_an_object_that_ends_before_the_range_is_damaged(place: BlobPlace) -> None:
    objects = Objects(place, PATIENT)
    objects.open()
    await objects.put("packs/a", b"12345")
    for start in (3, 5, 100):
        with pytest.raises(BlobCorrupt):
            await objects.get("packs/a", start, 10)
        with pytest.raises(BlobCorrupt):
            await asyncio.to_thread(objects.get_now, "packs/a", start, 10)
    with pytest.raises(ObjectGone):
        await objects.get("packs/b", 100, 10)


async def test_without_its_bucket_nothing_is_known_of_an_object(
    objects_of: Callable[[Patience], Objects], told: Told
) -> None:
    objects = objects_of(PATIENT)
    told.answer = lambda line: ("404 Not Found", NO_BUCKET)
    for ask in (
        lambda: objects.put("packs/a", b"1"),
        lambda: objects.get("packs/a", 0, 10),
        lambda: objects.delete(["packs/a", "packs/b"]),
    ):
        with pytest.raises(StorageUnavailable):
            await ask()
    told.answer = lambda line: ("404 Not Found", NO_KEY)
    with pytest.raises(ObjectGone):
        await objects.get("packs/a", 0, 10)
    with pytest.raises(StorageUnavailable):
        await objects.put("packs/a", b"1")


async def test_one_that_is_not_there_keeps_no_other_from_being_deleted(
    objects_of: Callable[[Patience], Objects], told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_DISABLE_BULK_DELETE", "true")
    told.answer = lambda line: ("404 Not Found", NO_KEY) if "gone" in line else ("204 No Content", b"")
    names = [f"packs/{number}" for number in range(50)]
    async with asyncio.timeout(DEADLINE):
        await objects_of(PATIENT).delete(["packs/gone", *names])
    assert {line.split()[1].removeprefix("/bucket/") for line in told.asked} == {"packs/gone", *names}


@pytest.mark.parametrize("status", ["403 Forbidden", "401 Unauthorized", "500 Internal Server Error"])
async def test_a_store_that_refuses_to_delete_anything_is_asked_once(
    objects_of: Callable[[Patience], Objects], told: Told, status: str
) -> None:
    told.answer = lambda line: (status, b"<Error><Code>AccessDenied</Code></Error>")
    with pytest.raises(StorageUnavailable):
        await objects_of(Patience(retries=0)).delete([f"packs/{number}" for number in range(50)])
    assert len(told.asked) == 1


async def test_doctor_says_that_objects_may_not_be_deleted(place: BlobPlace) -> None:
    async with holding(place) as (gate, behind):
        settings = Settings(blobs=behind.url, s3_endpoint=behind.endpoint)
        assert await look_at_blobs(settings) > 0
        gate.held = ["packs/"]
        with pytest.raises(ValueError, match=r"does not delete an object \(DELETE\): The object is under a"):
            await look_at_blobs(settings)
