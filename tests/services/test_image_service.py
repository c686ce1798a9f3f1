"""conexiones.v1.ImageService: finding, reading, deleting and watching what any call stored."""

import asyncio
import hashlib

import google_crc32c
import grpc
import grpc.aio
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from conexiones.gen.conexiones.v1.images_pb2 import (
    DeleteImageRequest,
    DownloadImageRequest,
    GetImageRequest,
    ListImagesRequest,
    WatchImagesRequest,
)
from conexiones.gen.conexiones.v1.images_pb2_grpc import ImageServiceStub
from conexiones.gen.user_pb2 import GetImage, GetUserRequest
from conexiones.gen.user_pb2_grpc import UsuarioServicioStub
from conexiones.testing import Server
from tests.adapters.stored import stored_blobs
from tests.support.bitmaps import bitmap
from tests.support.failures import failure, reason
from tests.support.processes import busy_seconds, family
from tests.support.waiting import DEADLINE

PICTURE = b"".join(bitmap(1500, 1000))


@pytest.fixture
def images(channel: grpc.Channel) -> ImageServiceStub:
    return ImageServiceStub(channel)


def stored(stub: UsuarioServicioStub, seed: int = 0, user: str = "") -> str:
    image = b"".join(bitmap(20, 10, seed=seed))
    return stub.ProcessImage(GetUserRequest(name=user, image=image), timeout=DEADLINE).image_info.id


def test_the_tutorials_calls_and_this_service_have_the_same_images(images, stub, photograph: bytes) -> None:
    info = stub.ProcessImage(GetUserRequest(name="Ana", image=photograph), timeout=DEADLINE).image_info
    image = images.GetImage(GetImageRequest(id=info.id), timeout=DEADLINE).image
    assert (image.format, image.width, image.height) == ("JPEG", 1280, 853)
    assert (image.sha256, image.size_bytes, image.user) == (info.sha256, len(photograph), "Ana")
    assert image.etag == f'"{info.sha256.hex()}"'
    assert image.content_type == "image/jpeg"
    unknown = (grpc.StatusCode.NOT_FOUND, "IMAGE_NOT_FOUND")
    assert failure(images.GetImage, GetImageRequest(id="none")) == unknown


@pytest.mark.parametrize(
    ("offset", "limit", "expected"),
    [
        (0, 0, PICTURE),
        (0, 10, PICTURE[:10]),
        (1, 0, PICTURE[1:]),
        (1 << 20, 1 << 20, PICTURE[1 << 20 : 2 << 20]),
        (len(PICTURE) - 1, 100, PICTURE[-1:]),
        (len(PICTURE), 0, b""),
        (-10, 0, PICTURE[-10:]),
        (-10, 4, PICTURE[-10:-6]),
        (-(10**12), 7, PICTURE[:7]),
    ],
)
def test_ranges(images, stub, offset: int, limit: int, expected: bytes) -> None:
    info = stub.GetStreamImage(iter([GetImage(image=PICTURE)]), timeout=DEADLINE).image_info
    request = DownloadImageRequest(id=info.id, offset=offset, limit=limit)
    frames = list(images.DownloadImage(request, timeout=DEADLINE))
    assert frames[0].image.id == info.id
    assert not any(frame.HasField("image") for frame in frames[1:])
    at = frames[0].offset
    assert PICTURE[at : at + len(expected)] == expected
    for frame in frames:
        assert (frame.offset, len(frame.data) <= 1 << 20) == (at, True)
        assert frame.crc32c == google_crc32c.value(frame.data)
        at += len(frame.data)
    assert b"".join(frame.data for frame in frames) == expected


def test_what_cannot_be_read(images, stub) -> None:
    info = stub.GetStreamImage(iter([GetImage(image=PICTURE)]), timeout=DEADLINE).image_info

    def refusal(**fields):
        return failure(images.DownloadImage, DownloadImageRequest(**{"id": info.id, **fields}))

    assert refusal(offset=len(PICTURE) + 1) == (grpc.StatusCode.OUT_OF_RANGE, "OFFSET_OUT_OF_RANGE")
    assert refusal(limit=-1) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert refusal(if_etag='"other"') == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    assert refusal(id="none") == (grpc.StatusCode.NOT_FOUND, "IMAGE_NOT_FOUND")
    etag = images.GetImage(GetImageRequest(id=info.id), timeout=DEADLINE).image.etag
    assert list(images.DownloadImage(DownloadImageRequest(id=info.id, if_etag=etag), timeout=DEADLINE))


def pages(images, **fields) -> list[list[str]]:
    found, token = [], ""
    while True:
        page = images.ListImages(ListImagesRequest(page_token=token, **fields), timeout=DEADLINE)
        found.append([image.id for image in page.images])
        token = page.next_page_token
        if not token:
            return found


@pytest.mark.usefixtures("server")
def test_lists(images, stub) -> None:
    assert pages(images) == [[]]
    ids = [stored(stub, seed, user="Ana" if seed % 2 else "Eva") for seed in range(10)]
    newest = ids[::-1]
    assert pages(images) == [newest]
    assert pages(images, page_size=4) == [newest[:4], newest[4:8], newest[8:]]
    assert pages(images, page_size=5) == [newest[:5], newest[5:]]
    assert pages(images, user="Ana", page_size=3) == [newest[0:6:2], newest[6::2]]
    assert pages(images, user="Nobody") == [[]]
    times = {id: images.GetImage(GetImageRequest(id=id), timeout=DEADLINE).image.create_time for id in ids}
    assert pages(images, start_time=times[ids[3]], end_time=times[ids[7]]) == [newest[3:7]]
    assert pages(images, end_time=Timestamp(seconds=1)) == [[]]


@pytest.mark.usefixtures("server")
def test_pages_are_stable(images, stub) -> None:
    ids = [stored(stub, seed) for seed in range(6)]
    first = images.ListImages(ListImagesRequest(page_size=2), timeout=DEADLINE)
    assert [image.id for image in first.images] == [ids[5], ids[4]]
    stored(stub, 99)
    images.DeleteImage(DeleteImageRequest(id=ids[4]), timeout=DEADLINE)
    images.DeleteImage(DeleteImageRequest(id=ids[2]), timeout=DEADLINE)
    second = images.ListImages(
        ListImagesRequest(page_size=2, page_token=first.next_page_token), timeout=DEADLINE
    )
    assert [image.id for image in second.images] == [ids[3], ids[1]]
    # A token is valid only for the list that it came from.
    other = ListImagesRequest(page_token=first.next_page_token, user="Ana")
    assert failure(images.ListImages, other) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    for token in ("x", "é", "AAAA"):
        assert failure(images.ListImages, ListImagesRequest(page_token=token))[1] == "INVALID_FIELD"
    assert failure(images.ListImages, ListImagesRequest(page_size=-1))[1] == "INVALID_FIELD"


@pytest.mark.parametrize("seconds", [2**63 - 1, -(2**63), 253_402_300_800, -62_135_596_801])
@pytest.mark.parametrize("field", ["start_time", "end_time"])
def test_times_that_no_timestamp_may_have(images, field: str, seconds: int) -> None:
    request = ListImagesRequest()
    getattr(request, field).seconds = seconds
    assert failure(images.ListImages, request) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    ends = ListImagesRequest(
        start_time=Timestamp(seconds=-62_135_596_800),
        end_time=Timestamp(seconds=253_402_300_799, nanos=999_999_999),
        page_size=1,
    )
    assert images.ListImages(ends, timeout=DEADLINE)


def test_bytes_go_with_the_last_reference(serving: Server, images, stub, somebody: str) -> None:
    first, second = stored(stub, 201), stored(stub, 201)  # an image that only this test stores
    digest = images.GetImage(GetImageRequest(id=first), timeout=DEADLINE).image.sha256.hex()
    images.DeleteImage(DeleteImageRequest(id=first), timeout=DEADLINE)
    assert digest in stored_blobs(serving.data_dir)
    assert failure(images.DeleteImage, DeleteImageRequest(id=first))[1] == "IMAGE_NOT_FOUND"
    images.DeleteImage(DeleteImageRequest(id=second), timeout=DEADLINE)
    assert digest not in stored_blobs(serving.data_dir)
    # A user whose image is deleted has no image.
    image = b"".join(bitmap(20, 10, seed=5))
    user = stub.GetUser(GetUserRequest(name=somebody, image=image), timeout=DEADLINE).user
    images.DeleteImage(DeleteImageRequest(id=user.image_id), timeout=DEADLINE)
    reply = stub.GetUser(GetUserRequest(name=somebody), timeout=DEADLINE)
    assert (reply.user.image_id, reply.HasField("image_info")) == ("", False)


async def told(watch, *others: str):
    """The next event of any kind but `described`, which comes whenever an image's facts are known, and but
    those `others`."""
    while (event := await watch.read()).WhichOneof("event") in ("described", *others):
        pass
    return event


async def happened(watch):
    """The next event that is no heartbeat, which comes also when nothing has happened for a while."""
    return await told(watch, "heartbeat")


async def test_watching(server: Server) -> None:
    async with grpc.aio.insecure_channel(server.address) as channel:
        images, stub = ImageServiceStub(channel), UsuarioServicioStub(channel)

        async def store(seed: int, user: str = "") -> str:
            image = b"".join(bitmap(20, 10, seed=seed))
            return (await stub.ProcessImage(GetUserRequest(name=user, image=image))).image_info.id

        watch = images.WatchImages(WatchImagesRequest())
        assert (await told(watch)).WhichOneof("event") == "heartbeat"
        watch_ana = images.WatchImages(WatchImagesRequest(user="Ana"))
        assert (await told(watch_ana)).WhichOneof("event") == "heartbeat"
        one, two = await store(1), await store(2, "Ana")
        events = [await happened(watch), await happened(watch)]
        assert [event.stored.id for event in events] == [one, two]
        assert (await happened(watch_ana)).stored.id == two
        await images.DeleteImage(DeleteImageRequest(id=one))
        deleted = await happened(watch)
        assert (deleted.WhichOneof("event"), deleted.deleted_id) == ("deleted_id", one)
        # A watch with the token of an event is told what came after that event.
        again = images.WatchImages(WatchImagesRequest(resume_token=events[0].resume_token))
        assert (await told(again)).WhichOneof("event") == "heartbeat"
        assert (await happened(again)).stored.id == two
        assert (await happened(again)).deleted_id == one
        lost = images.WatchImages(WatchImagesRequest(resume_token="999999"))
        assert (await told(lost)).WhichOneof("event") == "resync"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await told(images.WatchImages(WatchImagesRequest(resume_token="nonsense")))
        assert reason(caught.value) == "INVALID_FIELD"
        for call in (watch, watch_ana, again, lost):
            call.cancel()
    # Tokens are valid after a restart, too.
    token = events[1].resume_token
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)
    async with grpc.aio.insecure_channel(server.address) as channel:
        resumed = ImageServiceStub(channel).WatchImages(WatchImagesRequest(resume_token=token))
        assert (await told(resumed)).WhichOneof("event") == "heartbeat"
        assert (await happened(resumed)).deleted_id == one


async def test_events_come_together_for_those_who_ask(serving: Server, somebody: str) -> None:
    """Watchers of one user, whose own events are told together, each in its own way."""
    async with grpc.aio.insecure_channel(serving.address) as channel:
        images, stub = ImageServiceStub(channel), UsuarioServicioStub(channel)
        watches = {
            most: images.WatchImages(WatchImagesRequest(user=somebody, max_events=most), timeout=DEADLINE)
            for most in (0, 1, 3, 1000)
        }
        start = (await asyncio.gather(*(watch.read() for watch in watches.values())))[0].resume_token
        requests = (
            GetUserRequest(name=somebody, image=b"".join(bitmap(20, 10, seed=seed))) for seed in range(40)
        )
        found = await asyncio.gather(*(stub.ProcessImage(request) for request in requests))
        ids = [reply.image_info.id for reply in found]
        await images.DeleteImage(DeleteImageRequest(id=ids[0]))
        for most, watch in watches.items():
            heard, tokens = await stored_until_deletion(watch, most)
            assert sorted(heard) == sorted(ids)
            assert tokens == sorted(set(tokens))
        # From the beginning, what was read together comes together. A token in the middle goes on from there.
        again = images.WatchImages(
            WatchImagesRequest(user=somebody, max_events=1000, resume_token=start), timeout=DEADLINE
        )
        await again.read()
        first = await again.read()
        assert len(first.events.events) >= 1
        rest = images.WatchImages(
            WatchImagesRequest(user=somebody, max_events=5, resume_token=first.resume_token), timeout=DEADLINE
        )
        heard, _ = await stored_until_deletion(rest, 5)
        before = [event.stored.id for event in first.events.events if event.stored.id]
        tokens = [event.resume_token for event in first.events.events]
        assert sorted(tokens, key=int) == tokens
        assert len(set(tokens)) == len(tokens)
        assert tokens[-1] == first.resume_token
        # That the deleted one was stored is only told if the event was read before.
        assert sorted({*before, *heard} - {ids[0]}) == sorted(ids[1:])
        assert len({*before, *heard}) == len(before + heard)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await told(images.WatchImages(WatchImagesRequest(max_events=-1)))
        assert reason(caught.value) == "INVALID_FIELD"


async def stored_until_deletion(watch, most: int) -> tuple[list[str], list[int]]:
    """The ids of stored images until the first deletion, and the tokens that came with them."""
    heard: list[str] = []
    tokens: list[int] = []
    while True:
        reply = await watch.read()
        if reply.WhichOneof("event") == "heartbeat":
            continue
        tokens.append(int(reply.resume_token))
        events = list(reply.events.events) if most else [reply]
        assert 1 <= len(events) <= max(most, 1)
        for event in events:
            if event.deleted_id:
                return heard, tokens
            heard += [event.stored.id] if event.stored.id else []


async def test_a_watcher_costs_nothing_while_nothing_happens(server: Server) -> None:
    """pyvoy's receive() never waits: a watcher that called it without a pause would use a whole core."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        watch = ImageServiceStub(channel).WatchImages(WatchImagesRequest())
        await watch.read()
        before = busy_seconds(family(server.pid))
        # CPU time is measured over a span in which nothing happens: there is no event to wait for.
        await asyncio.sleep(1)
        assert busy_seconds(family(server.pid)) - before < 0.3
        watch.cancel()


async def test_watchers_do_not_hold_up_a_drain(server: Server) -> None:
    async with grpc.aio.insecure_channel(server.address) as channel:
        watch = ImageServiceStub(channel).WatchImages(WatchImagesRequest())
        await watch.read()
        assert await asyncio.to_thread(server.stop) == 0
        assert await watch.code() == grpc.StatusCode.UNAVAILABLE
    assert "cut" not in server.log


def test_a_download_that_began_goes_on_when_the_image_is_deleted(images, stub) -> None:
    big = b"".join(bitmap(4000, 3000))
    info = stub.GetStreamImage(
        GetImage(image=big[at : at + 65536]) for at in range(0, len(big), 65536)
    ).image_info
    frames = images.DownloadImage(DownloadImageRequest(id=info.id), timeout=DEADLINE)
    content = hashlib.sha256(next(frames).data)
    images.DeleteImage(DeleteImageRequest(id=info.id), timeout=DEADLINE)
    for frame in frames:
        content.update(frame.data)
    assert content.digest() == info.sha256


async def test_a_stream_begins_before_there_is_a_reply(serving: Server) -> None:
    """Many clients have no stream until its headers have come, such as Go's."""
    async with grpc.aio.insecure_channel(serving.address) as channel:
        call = UsuarioServicioStub(channel).ImageStreamReply(timeout=DEADLINE)
        await call.initial_metadata()  # nothing was sent
        await call.write(GetImage(image=b"".join(bitmap(20, 10))))
        assert (await call.read()).image_info.width == 20
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
