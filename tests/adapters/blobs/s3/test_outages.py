"""The object store is away, frozen, busy, or damaged: clear errors, nothing piles up, and nothing is lost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from conexiones.adapters.blobs.s3.objects import Objects, said
from conexiones.adapters.blobs.s3.patience import Patience
from conexiones.adapters.blobs.s3.place import BlobPlace
from conexiones.adapters.catalog.postgres.catalog import PostgresCatalog
from conexiones.errors import StorageUnavailable
from conexiones.ports.records import ImageRecord, UploadRecord
from tests.adapters.blobs.contents import MIB, content, fill, sha, whole
from tests.adapters.blobs.s3.cutting import Way
from tests.adapters.blobs.s3.restarted import PATIENT, RestartedS3Store
from tests.support.seaweed import ObjectServer
from tests.support.waiting import until

Make = Callable[..., ImageRecord]
NewStore = Callable[..., RestartedS3Store]

IMPATIENT = Patience(connect=0.3, attempt=0.5, request=1.0, retries=2)


@pytest.fixture
async def way(object_server: ObjectServer) -> AsyncIterator[Way]:
    way = Way(object_server.url)
    await way.open()
    yield way
    way.cut()


@pytest.fixture
async def hasty(
    place: BlobPlace, way: Way, catalog: PostgresCatalog, object_server: ObjectServer, tmp_path: Path
) -> AsyncIterator[RestartedS3Store]:
    """A store that waits for a second only."""
    there = BlobPlace(url=place.url, endpoint=way.url)
    store = RestartedS3Store(there, catalog, folder=tmp_path / "hasty", patience=IMPATIENT)
    while True:
        try:
            await store.open()
        except (ValueError, StorageUnavailable):  # the machine is busy
            continue
        break
    yield store
    object_server.thaw()
    await store.close()


async def add(store: RestartedS3Store, catalog: PostgresCatalog, record: ImageRecord, data: bytes) -> None:
    staged = await fill(store.staging.stage(), data)
    try:
        await staged.publish(lambda digest: catalog.add_image(record))
        await staged.settle()
    finally:
        await staged.discard()


async def surely(work: Callable[[], Any]) -> Any:
    """What it gives once the store is there again."""
    while True:
        try:
            return await work()
        except StorageUnavailable:
            await asyncio.sleep(0)


@pytest.mark.parametrize("outage", ["frozen", "cut"])
async def test_while_the_store_is_away_calls_end_and_nothing_piles_up(
    hasty: RestartedS3Store,
    catalog: PostgresCatalog,
    image: Make,
    object_server: ObjectServer,
    way: Way,
    upload: Callable[..., UploadRecord],
    outage: str,
) -> None:
    data = content(3 * MIB)
    await surely(lambda: add(hasty, catalog, image("before", digest=sha(data)), data))
    await catalog.create_upload(upload("a"))
    object_server.freeze() if outage == "frozen" else way.cut()
    works = [add(hasty, catalog, image(f"{n}", digest=sha(b"%d" % n)), b"%d" % n) for n in range(150)]
    works += [add(hasty, catalog, image(f"l{n}", digest=sha(data)), content(3 * MIB, n)) for n in range(4)]
    works += [read(hasty, data) for _ in range(4)]
    said = await asyncio.gather(*works, return_exceptions=True)
    assert {type(one) for one in said} == {StorageUnavailable}
    assert [record.id for record in await list_images(catalog)] == ["before"]
    staged = await fill(await hasty.staging.resume("a", 0), b"123")
    with pytest.raises(StorageUnavailable):
        await staged.commit(lambda size: catalog.advance_upload("a", epoch=0, size=size, now=2))
    await staged.release()
    await until(lambda: hasty.busy() == (0, 0))
    object_server.thaw()
    if outage == "cut":
        await way.open()
    await surely(lambda: add(hasty, catalog, image("after", digest=sha(b"after")), b"after"))
    assert await surely(lambda: whole(hasty, sha(data))) == data
    assert await surely(lambda: whole(hasty, sha(b"after"))) == b"after"
    staged = await hasty.staging.resume("a", 0)
    await staged.release()


async def read(store: RestartedS3Store, data: bytes) -> None:
    await whole(store, sha(data))


async def list_images(catalog: PostgresCatalog) -> list[ImageRecord]:
    return await catalog.list_images(limit=1000, before=None, user=None, start=None, end=None)


async def test_a_busy_store_is_asked_a_few_times_only(place: BlobPlace) -> None:
    asked = 0

    async def busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        body = b"<Error><Code>SlowDown</Code></Error>"
        writer.write(b"HTTP/1.1 503 Slow Down\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body))
        writer.write(body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(busy, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    objects = Objects(BlobPlace(url=place.url, endpoint=f"http://127.0.0.1:{port}"), PATIENT)
    objects.open()
    for ask in (lambda: objects.put(objects.name("packs"), b"1"), lambda: objects.size("packs/a")):
        asked = 0
        with pytest.raises(StorageUnavailable):
            await ask()
        assert asked == 1 + PATIENT.retries
    server.close()


async def test_a_put_that_was_cancelled_harms_nobody(
    new_store: NewStore, catalog: PostgresCatalog, image: Make, place: BlobPlace
) -> None:
    """Its object may come about, or not: it is left to the sweeper."""
    store = new_store()
    await store.open()
    for turns in range(12):
        adding = asyncio.ensure_future(
            add(store, catalog, image(f"{turns}", digest=sha(content(3 * MIB))), content(3 * MIB))
        )
        for _ in range(turns * turns):
            await asyncio.sleep(0)
        adding.cancel()
        await asyncio.wait((adding,))
    if await list_images(catalog):
        assert await whole(store, sha(content(3 * MIB))) == content(3 * MIB)
    await until(lambda: store.busy() == (0, 0))
    await store.close()


@pytest.mark.parametrize(
    ("url", "endpoint"), [("s3://nobody-has-it", None), ("s3://bucket", "http://127.0.0.1:1")]
)
async def test_a_place_that_cannot_be_used_is_said_in_one_line(
    place: BlobPlace, catalog: PostgresCatalog, tmp_path: Path, url: str, endpoint: str | None
) -> None:
    there = BlobPlace(url=url, endpoint=endpoint or place.endpoint)
    store = RestartedS3Store(there, catalog, folder=tmp_path / "local", patience=Patience(retries=1))
    with pytest.raises(ValueError, match="cannot be used") as refused:
        await store.open()
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400
    assert endpoint is None or "Connection refused" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "Generic S3 error: Error performing HEAD http://127.0.0.1:9/b/packs/20261130/0-f in 533.1ms,"
            " after 4 retries, max_retries: 4, retry_timeout: 8s  - HTTP error: error sending"
            " request\n\nDebug source:\n"
            'ConnectError("tcp connect error", Os { code: 111, message: "Connection refused" })',
            "HTTP error: error sending request: Connection refused",
        ),
        (
            "Generic S3 error: Error performing HEAD https://127.0.0.1:9/b in 1ms, after 1 retries,"
            " max_retries: 1, retry_timeout: 1.5s  - HTTP error: error sending request\n\nDebug source:\n"
            "Custom { kind: InvalidData,\n error: InvalidCertificate(\n UnknownIssuer,\n ), }",
            "HTTP error: error sending request: InvalidCertificate UnknownIssuer",
        ),
        (
            "Generic S3 error: Error performing PUT http://169.254.169.254/latest/api/token in 2.9ms - Server"
            " returned non-2xx status code: 404 Not Found",
            "there is no AWS_ACCESS_KEY_ID, and the machine has no credentials: Server returned"
            " non-2xx status code: 404 Not Found",
        ),
    ],
)
def test_of_a_request_that_failed_it_is_said_why(text: str, says: str) -> None:
    assert said(OSError(text)) == says


@pytest.mark.parametrize("url", ["", "s3:", "s3://", "http://bucket", "s3://key:secret@bucket", "s3://b?x=1"])
def test_what_is_no_place_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(ValueError, match="looks like s3://BUCKET") as refused:
        BlobPlace(url=url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("endpoint", ["", "host", "ftp://host", "http://", "http://key:secret@host"])
def test_what_is_no_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="looks like https://HOST:PORT") as refused:
        BlobPlace(url="s3://bucket", endpoint=endpoint)
    assert "secret" not in str(refused.value)
