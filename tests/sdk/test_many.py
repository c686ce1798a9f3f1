"""`upload_many`: every kind of source, outcomes as they come, what is large beside what is small; networks
and servers that fail, and nothing is stored twice."""

import asyncio
import hashlib
import io
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import grpc
import pytest

from conexiones import AsyncClient, Client, errors
from conexiones.gen.conexiones.v1 import uploads_pb2
from conexiones.sdk import NewImage, NoProgress, Uploaded
from conexiones.sdk.reading import MOST_IMAGES
from conexiones.services.details import as_failure
from conexiones.testing import Server
from tests.sdk.proxy import Proxy
from tests.sdk.test_hostile_servers import created, fail, image, serving, whole
from tests.support import admin
from tests.support.bitmaps import bitmap
from tests.support.lengths import EVERY_STEP
from tests.support.waiting import DEADLINE


def small(seed: int = 0) -> bytes:
    """An image that nobody has yet."""
    return b"".join(bitmap(20, 10, seed=seed)) + os.urandom(8)


def large() -> bytes:
    return b"".join(bitmap(800, 600)) + os.urandom(8)


async def outcomes(
    client: AsyncClient, sources: Any, *, within: float = DEADLINE, **options: Any
) -> list[Uploaded]:
    """The outcomes in the order of the sources, of which each has one."""
    async with asyncio.timeout(within):
        found = [one async for one in client.upload_many(sources, **options)]
    found.sort(key=lambda one: one.index)
    assert [one.index for one in found] == list(range(len(found)))
    assert all((one.image is None) != (one.error is None) for one in found)
    return found


async def names(client: AsyncClient, user: str) -> list[str]:
    return sorted([one.name async for one in client.images(user=user)])


async def test_every_kind_of_source(client: AsyncClient, somebody: str, tmp_path: Path) -> None:
    path, link, scan = tmp_path / "Málaga\n.bmp", tmp_path / "link.bmp", tmp_path / "scan.bmp"
    path.write_bytes(small())
    scan.write_bytes(large())
    link.symlink_to(path)
    data = small()
    told: list[tuple[int, int, int | None]] = []
    sources = [
        path,
        str(link),
        scan,
        data,
        bytearray(small()),
        memoryview(small()),
        iter([small()]),
        io.BytesIO(small()),
        large(),
        NewImage(source=path, user=f"{somebody} other", name="Toledo.bmp"),
        NewImage(source=data, name="known.bmp", sha256=hashlib.sha256(data).hexdigest()),
    ]
    found = await outcomes(
        client, sources, user=somebody, resume=True, progress=lambda *state: told.append(state)
    )
    assert [one.error for one in found] == [None] * len(sources)
    assert [one.source for one in found] == sources
    images = [one.image for one in found if one.image]
    assert [one.name for one in images] == [
        *("Málaga_.bmp", "link.bmp", "scan.bmp"),
        *([""] * 6),
        *("Toledo.bmp", "known.bmp"),
    ]
    assert images[0].sha256 == hashlib.sha256(path.read_bytes()).digest()
    assert {one.user for one in images} == {somebody, f"{somebody} other"}
    assert images[9].user == f"{somebody} other"
    assert (2, 0, None) in told
    assert (2, scan.stat().st_size, scan.stat().st_size) in told
    assert sorted(os.listdir(tmp_path)) == sorted([path.name, "link.bmp", "scan.bmp"])  # noqa: PTH208


async def test_one_bad_image_does_not_end_it(client: AsyncClient, tmp_path: Path) -> None:
    data = small()
    bad: list[tuple[Any, type[Exception]]] = [
        (b"no image", errors.NotAnImage),
        (b"", errors.EmptyStream),
        (tmp_path / "none.bmp", FileNotFoundError),
        (tmp_path, IsADirectoryError),
        ("http://host/a.jpg", ValueError),
        (7, TypeError),
        (iter(["text"]), TypeError),
        (NewImage(source=data, sha256="00" * 32), errors.ChecksumMismatch),
        (NewImage(source=data, sha256="00"), errors.InvalidField),
        (NewImage(source=data, name="a\nb"), errors.InvalidField),
        (NewImage(source=data, user="x" * 300), errors.NameTooLong),
        (b"no image either" * 100_000, errors.NotAnImage),
    ]
    sources = [one for source, _ in bad for one in (source, small())]
    found = await outcomes(client, sources)
    assert [one.error for one in found[1::2]] == [None] * len(bad)
    for one, (source, kind) in zip(found[::2], bad, strict=True):
        assert isinstance(one.error, kind), (source, one.error)


async def test_what_is_no_iterable_of_sources(client: AsyncClient) -> None:
    wrong: Any
    for wrong in ("a.jpg", b"data", Path("a.jpg"), NewImage(source=b"data"), 7):
        with pytest.raises(TypeError, match="sources is an iterable"):
            await outcomes(client, wrong)
    with pytest.raises(ValueError, match="concurrency"):
        await outcomes(client, [], concurrency=0)
    assert await outcomes(client, [], concurrency=2**53) == []  # not as many tasks
    assert await outcomes(client, []) == []
    assert await outcomes(client, iter(())) == []


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_what_the_sources_raise_comes_after_the_outcomes(
    client: AsyncClient, *, asynchronous: bool
) -> None:
    def some() -> Iterator[bytes]:
        yield from (small(), small())
        raise ZeroDivisionError

    async def some_later() -> AsyncIterator[bytes]:
        for one in some():
            yield one
            await asyncio.sleep(0)

    found: list[Uploaded] = []

    async def all_of_them() -> None:
        async for one in client.upload_many(some_later() if asynchronous else some()):
            found.append(one)  # noqa: PERF401 (it raises)

    with pytest.raises(ZeroDivisionError):
        await all_of_them()
    assert [one.error for one in found] == [None, None]


async def test_sources_that_begin_with_nothing_are_an_error(client: AsyncClient) -> None:
    class Images:
        def __iter__(self) -> Iterator[bytes]:
            first = next(iter(list[bytes]()))  # without a default
            return iter([first])

    async with asyncio.timeout(DEADLINE):
        with pytest.raises(RuntimeError, match="StopIteration"):
            await anext(client.upload_many(Images()))


async def test_an_outcome_waits_for_no_other_source(client: AsyncClient) -> None:
    """Each image is given when the one before has its outcome."""
    go_on = asyncio.Event()

    async def one_by_one() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield small()
            await go_on.wait()
            go_on.clear()

    async with asyncio.timeout(DEADLINE):
        async for one in client.upload_many(one_by_one()):
            assert one.image
            go_on.set()


async def test_no_more_is_taken_than_is_wanted_and_closing_ends_it(client: AsyncClient) -> None:
    given = 0
    data = small()

    def endless() -> Iterator[bytes]:
        nonlocal given
        while True:
            given += 1
            yield data

    async with asyncio.timeout(DEADLINE):
        async with aclosing(client.upload_many(endless())) as found:
            async for one in found:
                assert one.image
                break
        after = given
        assert after <= MOST_IMAGES + 2
        await client.limits()
        assert given <= after + 1
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


@pytest.mark.parametrize("kind", ["iterator", "asynchronous"])
async def test_few_large_ones_are_taken_ahead(client: AsyncClient, kind: str) -> None:
    """However fast an iterable gives their bytes, of which nobody knows how many there are, and however slow
    somebody is who takes the outcomes."""
    given = 0
    data = large()
    data += bytes((4 << 20) - len(data))

    def endless() -> Iterator[bytes]:
        nonlocal given
        while True:
            given += 1
            yield data

    async def asynchronous() -> AsyncIterator[bytes]:
        for one in endless():
            yield one

    source = endless() if kind == "iterator" else asynchronous()
    async with asyncio.timeout(DEADLINE), aclosing(client.upload_many(source, concurrency=2)) as found:
        await anext(found)
        for _ in range(16):
            await client.upload(data)  # time enough to take many more
        # One was taken, four untaken outcomes are 16 MiB, two are under way; and a few that wait for those.
        assert given <= 14
        before = given
        for _ in range(10):
            await anext(found)
        assert given > before


def test_without_asyncio(blocking: Client, somebody: str, tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.bmp").write_bytes(small(number))
    paths = sorted(tmp_path.iterdir())
    found = list(blocking.upload_many(paths, user=somebody))
    assert sorted(one.image.name for one in found if one.image) == [path.name for path in paths]
    for one in blocking.upload_many(small() for _ in range(100)):
        assert one.image
        break
    assert blocking.limits().max_small_bytes == 1 << 20


@pytest.mark.parametrize("seed", range(4 if EVERY_STEP else 2))
async def test_a_bad_network_stores_nothing_twice(shared: Server, somebody: str, seed: int) -> None:
    async with (
        Proxy(shared.address, seed, most_bytes=200_000) as proxy,
        AsyncClient(proxy.address, timeout=2.0, patience=60.0) as client,
    ):
        sources = [NewImage(source=small(number), name=f"{number:03}") for number in range(200)]
        sources.insert(100, NewImage(source=large(), name="large"))
        found = await outcomes(client, sources, user=somebody, within=5 * DEADLINE)
        assert [one.error for one in found] == [None] * 201
        one_by_one = [await client.upload(small(), user=somebody, name=f"z{number}") for number in range(3)]
        assert len({one.id for one in one_by_one}) == 3
        wanted = sorted([*(one.name or "" for one in sources), "z0", "z1", "z2"])
    async with AsyncClient(shared.address) as client:
        assert await names(client, somebody) == wanted
    print(f"seed {seed}: {' '.join(fault.name for fault in proxy.happened)}")


async def test_a_server_that_is_killed_or_drains_stores_nothing_twice(server: Server, somebody: str) -> None:
    sources = [NewImage(source=small(number), name=f"{number:04}") for number in range(300)]
    async with AsyncClient(server.address) as client:
        found: list[Uploaded] = []
        async with asyncio.timeout(2 * DEADLINE):
            async for one in client.upload_many(sources, user=somebody):
                found.append(one)
                if len(found) in {100, 200}:
                    await asyncio.to_thread(server.kill if len(found) == 100 else server.stop)
                    await asyncio.to_thread(server.start)
        assert [one.error for one in found] == [None] * len(sources)
        assert await names(client, somebody) == [one.name for one in sources]


async def test_a_server_that_never_comes_back_is_a_clear_error(server: Server) -> None:
    async with AsyncClient(server.address, patience=0.5) as client:
        assert (await client.upload(small())).format == "BMP"
        server.kill()
        with pytest.raises(NoProgress):
            await outcomes(client, [small(), large()])


async def test_a_revoked_token_ends_it(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(auth="required")
    ids, path = [], tmp_path / "token"
    for _ in range(2):
        id, secret = admin.create(server, "write")
        ids.append(id)
        path.write_text(secret) if len(ids) == 1 else None
    _, reader = admin.create(server, "read")
    _, other = admin.create(server, "write")

    async def some(revoked: asyncio.Event) -> AsyncIterator[bytes]:
        yield small()
        await revoked.wait()
        while True:
            yield small()

    async def revoke(client: AsyncClient, id: str, then: Callable[[], object]) -> None:
        revoked, after = asyncio.Event(), 0
        async for one in client.upload_many(some(revoked)):
            assert one.image
            if not revoked.is_set():
                then()
                await asyncio.to_thread(admin.revoke, server, id)
                revoked.set()
            after += 1
            if after == 100:
                return

    async with asyncio.timeout(2 * DEADLINE):
        # With another token in the file, it goes on.
        async with AsyncClient(server.address, token_file=path) as client:
            await revoke(client, ids[0], lambda: path.write_text(other))
        async with AsyncClient(server.address, token=secret) as client:
            with pytest.raises(errors.TokenRevoked):
                await revoke(client, ids[1], lambda: None)
        async with AsyncClient(server.address, token=reader) as client:
            with pytest.raises(errors.ScopeMissing):
                await outcomes(client, [small(), small()])


async def finished(request: Any, context: Any) -> uploads_pb2.FinishUploadResponse:
    upload = uploads_pb2.Upload(id="u", state=uploads_pb2.Upload.STATE_READY, image=image())
    return uploads_pb2.FinishUploadResponse(upload=upload)


async def test_a_server_without_the_calls_gets_resumable_uploads() -> None:
    calls = {"CreateUpload": created, "WriteStream": whole, "FinishUpload": finished}
    async with serving(**calls) as address, AsyncClient(address) as client:
        assert (await client.upload(b"data")).size_bytes == 4
    async with serving(**calls) as address, AsyncClient(address) as client:
        found = await outcomes(client, [b"data"] * 20)
        assert [one.error for one in found] == [None] * 20


async def test_the_long_way_has_the_id_of_a_call_that_was_cut(tmp_path: Path) -> None:
    """For that call may have stored the image."""
    path, ids = tmp_path / "image.png", list[str]()
    path.write_bytes(b"data")

    async def fail(request: Any, context: Any) -> None:
        ids.append(request.request_id)
        refused = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED)
        await context.abort(refused[(len(ids) - 1) % 3], "")

    async def answer(requests: Any, context: Any) -> AsyncIterator[uploads_pb2.UploadImagesResponse]:
        async for request in requests:
            await fail(request, context)
            yield uploads_pb2.UploadImagesResponse()

    async def stored(request: Any, context: Any) -> uploads_pb2.CreateUploadResponse:
        ids.append(request.request_id)
        upload = uploads_pb2.Upload(id="u", state=uploads_pb2.Upload.STATE_READY, image=image())
        return uploads_pb2.CreateUploadResponse(upload=upload)

    async with serving(UploadImage=fail, UploadImages=answer, CreateUpload=stored) as address:
        for resume in (None, True):
            async with AsyncClient(address) as client:
                await client.upload(path, resume=resume)
        async with AsyncClient(address) as client:
            assert [one.error for one in await outcomes(client, [path])] == [None]
    assert len(ids) == 9
    assert len(set(ids)) == 3


async def test_failures_for_now_are_tried_again_and_others_are_not() -> None:
    asked: list[str] = []

    async def answer(requests: Any, context: Any) -> AsyncIterator[uploads_pb2.UploadImagesResponse]:
        async for request in requests:
            response = uploads_pb2.UploadImagesResponse(request_id=request.request_id)
            asked.append(request.request_id)
            if request.name == "refused":
                response.failure.CopyFrom(as_failure(errors.NotAnImage()))
            elif asked.count(request.request_id) == 1:
                response.failure.CopyFrom(as_failure(errors.ServerBusy()))
            else:
                response.image.CopyFrom(image())
            yield response

    async with serving(UploadImages=answer) as address, AsyncClient(address) as client:
        found = await outcomes(client, [b"data", NewImage(source=b"data", name="refused"), b"data"])
    assert [type(one.error) for one in found] == [type(None), errors.NotAnImage, type(None)]
    assert len(asked) == 5
    assert len(set(asked)) == 3


async def test_an_image_at_which_the_server_fails_is_its_own_outcome() -> None:
    async def answer(requests: Any, context: Any) -> AsyncIterator[uploads_pb2.UploadImagesResponse]:
        async for request in requests:
            if request.name == "defect":
                await fail(context, errors.Internal())
            yield uploads_pb2.UploadImagesResponse(request_id=request.request_id, image=image())

    async def one(request: Any, context: Any) -> uploads_pb2.UploadImageResponse:
        await fail(context, errors.Internal())
        return uploads_pb2.UploadImageResponse()

    sources = [NewImage(source=b"data", name="defect" if number == 5 else "") for number in range(10)]
    async with serving(UploadImages=answer, UploadImage=one) as address, AsyncClient(address) as client:
        found = await outcomes(client, sources)
    assert [one.index for one in found if one.error] == [5]
    assert isinstance(found[5].error, errors.Internal)


@pytest.mark.parametrize("lie", [{"size_bytes": 5}, {"sha256": b"y" * 32}], ids=str)
async def test_an_image_of_other_bytes_is_no_success(lie: dict[str, Any]) -> None:
    async def answer(requests: Any, context: Any) -> AsyncIterator[uploads_pb2.UploadImagesResponse]:
        async for request in requests:
            yield uploads_pb2.UploadImagesResponse(request_id=request.request_id, image=image(**lie))

    async def one(request: Any, context: Any) -> uploads_pb2.UploadImageResponse:
        return uploads_pb2.UploadImageResponse(image=image(**lie))

    async with serving(UploadImages=answer, UploadImage=one) as address, AsyncClient(address) as client:
        (outcome,) = await outcomes(client, [b"data"])
        assert isinstance(outcome.error, errors.ChecksumMismatch)
        with pytest.raises(errors.ChecksumMismatch):
            await client.upload(b"data")


async def test_a_response_that_belongs_to_no_image_is_no_success() -> None:
    async def answer(requests: Any, context: Any) -> AsyncIterator[uploads_pb2.UploadImagesResponse]:
        async for _ in requests:
            yield uploads_pb2.UploadImagesResponse(request_id="another", image=image())

    async with serving(UploadImages=answer) as address, AsyncClient(address, patience=0.3) as client:
        with pytest.raises(NoProgress):
            await outcomes(client, [b"data"])


async def test_a_server_that_answers_nothing_is_a_clear_error() -> None:
    async def answer(requests: Any, context: Any) -> AsyncIterator[uploads_pb2.UploadImagesResponse]:
        async for _ in requests:
            await asyncio.Event().wait()
        yield uploads_pb2.UploadImagesResponse()

    async with (
        serving(UploadImages=answer) as address,
        AsyncClient(address, timeout=0.2, patience=0.3) as client,
    ):
        with pytest.raises(NoProgress):
            await outcomes(client, [b"data"])
