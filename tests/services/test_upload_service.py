"""conexiones.v1.UploadService: resumable, fenced, durable, replayable."""

import asyncio
import hashlib
import random
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import google_crc32c
import grpc
import grpc.aio
import pytest
from google.rpc.error_details_pb2 import RetryInfo

from conexiones.gen.conexiones.v1 import errors_pb2, images_pb2, images_pb2_grpc, uploads_pb2_grpc
from conexiones.gen.conexiones.v1.uploads_pb2 import (
    CancelUploadRequest,
    CreateUploadRequest,
    FinishUploadRequest,
    GetLimitsRequest,
    GetUploadRequest,
    Upload,
    WriteChunkRequest,
    WriteStreamRequest,
)
from conexiones.testing import Server
from tests.support.bitmaps import bitmap
from tests.support.failures import detail, reason
from tests.support.lengths import kills
from tests.support.waiting import DEADLINE

PICTURE = b"".join(bitmap(1500, 1000))  # 4.5 MB
SHA = hashlib.sha256(PICTURE).digest()
MIB = 1 << 20


@pytest.fixture
def uploads(channel: grpc.Channel) -> uploads_pb2_grpc.UploadServiceStub:
    return uploads_pb2_grpc.UploadServiceStub(channel)


def new(**fields) -> CreateUploadRequest:
    """A request for an upload of its own."""
    return CreateUploadRequest(request_id=str(uuid.uuid4()), **fields)


def created(uploads, **fields) -> Upload:
    return uploads.CreateUpload(new(**fields), timeout=DEADLINE).upload


def files(server: Server, upload: Upload) -> list[Path]:
    """What the server keeps for an upload that is under way."""
    return list((server.data_dir / "uploads").glob(f"{upload.id}*"))


def chunk(upload_id: str, offset: int, data: bytes, **fields) -> WriteChunkRequest:
    return WriteChunkRequest(
        upload_id=upload_id, offset=offset, data=data, crc32c=google_crc32c.value(data), **fields
    )


def refused(call, request) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=DEADLINE)
    return caught.value


def test_limits(uploads) -> None:
    limits = uploads.GetLimits(GetLimitsRequest(), timeout=DEADLINE)
    assert limits.max_image_bytes == 16 << 30
    assert limits.max_chunk_bytes < limits.max_message_bytes == 64 << 20
    assert (limits.preferred_chunk_bytes, limits.idle_expiry.seconds) == (MIB, 24 * 3600)


def test_in_chunks_from_the_first_to_the_image(uploads, channel: grpc.Channel) -> None:
    upload = created(uploads, size_bytes=len(PICTURE), user="Ana")
    assert (upload.state, upload.committed_size, upload.size_bytes) == (Upload.STATE_OPEN, 0, len(PICTURE))
    epoch = at = 0
    while at < len(PICTURE):
        reply = uploads.WriteChunk(
            chunk(upload.id, at, PICTURE[at : at + MIB], writer_epoch=epoch), timeout=DEADLINE
        )
        at, epoch = reply.committed_size, reply.writer_epoch
    finish = FinishUploadRequest(id=upload.id, size_bytes=len(PICTURE), sha256=SHA)
    done = uploads.FinishUpload(finish, timeout=DEADLINE).upload
    assert (done.state, done.image.sha256, done.image.width) == (Upload.STATE_READY, SHA, 1500)
    assert (done.user, done.image.user) == ("Ana", "Ana")
    # Finishing it again gives the same answer.
    again = uploads.FinishUpload(finish, timeout=DEADLINE).upload
    got = uploads.GetUpload(GetUploadRequest(id=upload.id), timeout=DEADLINE).upload
    images = images_pb2_grpc.ImageServiceStub(channel)
    found = images.GetImage(images_pb2.GetImageRequest(id=done.image.id), timeout=DEADLINE).image
    for image in (done.image, again.image, got.image, found):
        image.ClearField("facts")  # which are found at some time after the upload
    assert again == got == done
    assert found == done.image
    ended = refused(uploads.WriteChunk, chunk(upload.id, at, b"more"))
    assert (ended.code(), reason(ended)) == (grpc.StatusCode.FAILED_PRECONDITION, "UPLOAD_ENDED")
    assert reason(refused(uploads.CancelUpload, CancelUploadRequest(id=upload.id))) == "UPLOAD_ENDED"


async def test_a_stream_is_acknowledged_while_it_flows(serving: Server) -> None:
    async with grpc.aio.insecure_channel(serving.address) as channel:
        uploads = uploads_pb2_grpc.UploadServiceStub(channel)
        upload = (await uploads.CreateUpload(new())).upload
        call = uploads.WriteStream(timeout=DEADLINE)
        await call.write(WriteStreamRequest(upload_id=upload.id))
        first = await call.read()
        assert (first.committed_size, first.writer_epoch) == (0, 1)
        at = 0
        while at < len(PICTURE):
            data = PICTURE[at : at + 700_000]
            await call.write(WriteStreamRequest(offset=at, data=data, crc32c=google_crc32c.value(data)))
            at += len(data)
            # The next part is sent only when this one is durable.
            while (await call.read()).committed_size < at:
                pass
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        done = await uploads.FinishUpload(FinishUploadRequest(id=upload.id, size_bytes=at, sha256=SHA))
        assert done.upload.image.sha256 == SHA


def test_the_same_request_is_the_same_upload(uploads) -> None:
    longest = str(uuid.uuid4()).ljust(128, "r")
    request = CreateUploadRequest(request_id=longest, size_bytes=7, user="Ana")
    first = uploads.CreateUpload(request, timeout=DEADLINE).upload
    assert uploads.CreateUpload(request, timeout=DEADLINE).upload == first
    for other in ({"size_bytes": 8, "user": "Ana"}, {"size_bytes": 7}, {}):
        error = refused(uploads.CreateUpload, CreateUploadRequest(request_id=longest, **other))
        assert (error.code(), reason(error)) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "INVALID_FIELD"),
        ({"request_id": "r" * 129}, "INVALID_FIELD"),
        ({"request_id": "r", "size_bytes": 0}, "EMPTY_IMAGE"),
        ({"request_id": "r", "size_bytes": (16 << 30) + 1}, "IMAGE_TOO_LARGE"),
        ({"request_id": "r", "user": "u" * 257}, "NAME_TOO_LONG"),
    ],
)
def test_what_cannot_be_created(uploads, fields, expected: str) -> None:
    assert reason(refused(uploads.CreateUpload, CreateUploadRequest(**fields))) == expected


def test_wrong_bytes_are_not_kept(uploads) -> None:
    upload = created(uploads, size_bytes=MIB)
    first = uploads.WriteChunk(chunk(upload.id, 0, PICTURE[:1000]), timeout=DEADLINE)
    epoch = first.writer_epoch
    error = refused(uploads.WriteChunk, chunk(upload.id, 999, PICTURE[999:2000], writer_epoch=epoch))
    assert (error.code(), reason(error)) == (grpc.StatusCode.ABORTED, "OFFSET_MISMATCH")
    assert detail(error, errors_pb2.OffsetMismatch()).expected_offset == 1000
    flipped = chunk(upload.id, 1000, PICTURE[1000:2000], writer_epoch=epoch)
    flipped.data = bytes([flipped.data[0] ^ 1]) + flipped.data[1:]
    error = refused(uploads.WriteChunk, flipped)
    assert (error.code(), reason(error)) == (grpc.StatusCode.DATA_LOSS, "CHECKSUM_MISMATCH")
    assert detail(error, errors_pb2.ChecksumMismatch()).algorithm == "CRC-32C"
    error = refused(uploads.WriteChunk, chunk(upload.id, 1000, bytes(MIB), writer_epoch=epoch))
    assert reason(error) == "SIZE_EXCEEDED"
    assert (
        reason(refused(uploads.WriteChunk, chunk(upload.id, 1000, b"", writer_epoch=epoch)))
        == "INVALID_FIELD"
    )
    # After all these refusals the upload goes on.
    reply = uploads.WriteChunk(
        chunk(upload.id, 1000, PICTURE[1000:2000], writer_epoch=epoch), timeout=DEADLINE
    )
    assert reply.committed_size == 2000


def test_finishing_checks_what_was_announced(uploads) -> None:
    upload = created(uploads)
    uploads.WriteChunk(chunk(upload.id, 0, PICTURE), timeout=DEADLINE)
    for size, expected in ((len(PICTURE) + 1, "UPLOAD_INCOMPLETE"), (len(PICTURE) - 1, "SIZE_EXCEEDED")):
        error = refused(uploads.FinishUpload, FinishUploadRequest(id=upload.id, size_bytes=size))
        assert reason(error) == expected
    state = uploads.GetUpload(GetUploadRequest(id=upload.id), timeout=DEADLINE).upload.state
    assert state == Upload.STATE_OPEN
    wrong = FinishUploadRequest(id=upload.id, size_bytes=len(PICTURE), sha256=bytes(32))
    for _ in range(2):
        done = uploads.FinishUpload(wrong, timeout=DEADLINE).upload
        assert (done.state, done.failure.reason) == (Upload.STATE_REJECTED, "CHECKSUM_MISMATCH")


def test_what_is_no_image_is_rejected(serving: Server, uploads) -> None:
    early = created(uploads)
    error = refused(
        uploads.WriteChunk, chunk(early.id, 0, b"no image at all, and that can be told at once" * 3)
    )
    assert (error.code(), reason(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "NOT_AN_IMAGE")
    late = created(uploads)
    uploads.WriteChunk(chunk(late.id, 0, PICTURE[:-1]), timeout=DEADLINE)
    done = uploads.FinishUpload(
        FinishUploadRequest(id=late.id, size_bytes=len(PICTURE) - 1), timeout=DEADLINE
    )
    assert done.upload.failure.reason == "TRUNCATED_IMAGE"
    empty = created(uploads)
    done = uploads.FinishUpload(FinishUploadRequest(id=empty.id), timeout=DEADLINE)
    assert done.upload.failure.reason == "EMPTY_STREAM"
    assert done.upload.failure.message.startswith("The image is empty")
    announced = refused(uploads.CreateUpload, new(size_bytes=0))
    assert (reason(announced), announced.details()) == ("EMPTY_IMAGE", "The image is empty.")
    negative = refused(uploads.CreateUpload, new(size_bytes=-1))
    assert (reason(negative), negative.details()) == ("INVALID_FIELD", "`size_bytes` takes at least 1.")
    for upload in (early, late, empty):
        found = uploads.GetUpload(GetUploadRequest(id=upload.id), timeout=DEADLINE).upload
        assert found.state == Upload.STATE_REJECTED
        assert files(serving, upload) == []


def test_cancelling(serving: Server, uploads) -> None:
    upload = created(uploads)
    uploads.WriteChunk(chunk(upload.id, 0, PICTURE), timeout=DEADLINE)
    assert files(serving, upload)
    for _ in range(2):
        cancelled = uploads.CancelUpload(CancelUploadRequest(id=upload.id), timeout=DEADLINE).upload
        assert cancelled.state == Upload.STATE_CANCELLED
    assert reason(refused(uploads.FinishUpload, FinishUploadRequest(id=upload.id))) == "UPLOAD_ENDED"
    assert files(serving, upload) == []
    for call, request in (
        (uploads.GetUpload, GetUploadRequest(id="none")),
        (uploads.CancelUpload, CancelUploadRequest(id="none")),
        (uploads.FinishUpload, FinishUploadRequest(id="none")),
        (uploads.WriteChunk, chunk("none", 0, b"x")),
    ):
        error = refused(call, request)
        assert (error.code(), reason(error)) == (grpc.StatusCode.NOT_FOUND, "UPLOAD_NOT_FOUND")


async def test_the_newest_writer_wins(serving: Server) -> None:
    async with grpc.aio.insecure_channel(serving.address) as channel:
        uploads = uploads_pb2_grpc.UploadServiceStub(channel)
        upload = (await uploads.CreateUpload(new())).upload
        older = uploads.WriteStream(timeout=DEADLINE)
        await older.write(WriteStreamRequest(upload_id=upload.id, data=PICTURE[:MIB]))
        while (await older.read()).committed_size < MIB:
            pass
        newer = uploads.WriteStream(timeout=DEADLINE)
        await newer.write(WriteStreamRequest(upload_id=upload.id))
        first = await newer.read()
        assert (first.committed_size, first.writer_epoch) == (MIB, 2)
        # The older writer is told although it sends nothing.
        assert await older.code() == grpc.StatusCode.ABORTED
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await older.read()
        assert reason(caught.value) == "WRITER_FENCED"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await uploads.WriteChunk(chunk(upload.id, MIB, b"x", writer_epoch=1))
        assert reason(caught.value) == "WRITER_FENCED"
        await newer.write(WriteStreamRequest(offset=MIB, data=PICTURE[MIB:]))
        await newer.done_writing()
        while (ack := await newer.read()) is not grpc.aio.EOF:
            first = ack
        assert first.committed_size == len(PICTURE)


class Racer:
    """A writer with an image of its own. It holds its last piece back until the next racer has the upload.

    It runs in a thread: grpc.aio turns a write to a stream that the server has just ended into an error of
    its own, and the server's reason is lost.
    """

    def __init__(self, number: int, seed: int, pieces: int) -> None:
        self.content = b"".join(bitmap(600, 500, seed=seed + number))
        self.pieces = pieces
        """How many pieces it writes before the next racer may begin."""
        self.ready, self.begun, self.taken = (threading.Event() for _ in range(3))
        self.started = self.epoch = -1
        self.outcome = ""

    def write(self, uploads, upload_id: str, after: "Racer | None", until: "Racer | None") -> None:
        assert not after or after.begun.wait(DEADLINE)
        try:
            replies = uploads.WriteStream(self._requests(upload_id, last=not until), timeout=DEADLINE)
            first = next(replies)
            self.started, self.epoch = first.committed_size, first.writer_epoch
            self.ready.set()
            if after:
                after.taken.set()
            for _ in replies:
                pass
        except grpc.RpcError as error:
            self.outcome = reason(error)

    def _requests(self, upload_id: str, *, last: bool) -> Iterator[WriteStreamRequest]:
        yield WriteStreamRequest(upload_id=upload_id)
        self.ready.wait(DEADLINE)
        for number, at in enumerate(range(self.started, len(self.content), PIECE)):
            if number == self.pieces or at + PIECE >= len(self.content):
                self.begun.set()
            if not last and at + PIECE >= len(self.content):
                self.taken.wait(DEADLINE)
            yield WriteStreamRequest(offset=at, data=self.content[at : at + PIECE])
        self.begun.set()


PIECE = 50_000


def test_writers_that_race_never_interleave(uploads) -> None:
    """Three writers, each with an image of its own, take one upload from each other, ten times.

    What is stored changes from one image to the next where the next writer took over and nowhere else, and
    both writers that lost the upload are told so.
    """
    seeded = random.Random(3)
    for number in range(10):
        upload = created(uploads)
        racers = [Racer(i, 10 * number, seeded.randrange(8)) for i in range(3)]
        with ThreadPoolExecutor(3) as threads:
            for after, racer, until in zip([None, *racers], racers, [*racers[1:], None], strict=False):
                threads.submit(racer.write, uploads, upload.id, after, until)
        assert [racer.outcome for racer in racers] == ["WRITER_FENCED", "WRITER_FENCED", ""]
        assert [racer.epoch for racer in racers] == [1, 2, 3]
        ends = [*(racer.started for racer in racers[1:]), len(racers[0].content)]
        stored = b"".join(racer.content[racer.started : end] for racer, end in zip(racers, ends, strict=True))
        finish = FinishUploadRequest(id=upload.id, size_bytes=len(stored))
        done = uploads.FinishUpload(finish, timeout=DEADLINE).upload
        assert done.state == Upload.STATE_READY
        assert done.image.sha256 == hashlib.sha256(stored).digest()


@pytest.mark.parametrize("how", ["chunk", "stream"])
def test_committed_bytes_survive_a_kill(server: Server, how: str) -> None:
    with grpc.insecure_channel(server.address) as channel:
        uploads = uploads_pb2_grpc.UploadServiceStub(channel)
        upload = created(uploads, size_bytes=len(PICTURE))
        at = 0
        for _ in range(min(kills(), 4)):  # the picture has four pieces
            if how == "chunk":
                request = chunk(upload.id, at, PICTURE[at : at + MIB])
                at = uploads.WriteChunk(request, timeout=DEADLINE, wait_for_ready=True).committed_size
            else:
                requests = iter(
                    [
                        WriteStreamRequest(upload_id=upload.id),
                        WriteStreamRequest(offset=at, data=PICTURE[at : at + MIB]),
                    ]
                )
                *_, last = uploads.WriteStream(requests, timeout=DEADLINE, wait_for_ready=True)
                at = last.committed_size
            server.kill()
            server.start()
            found = uploads.GetUpload(
                GetUploadRequest(id=upload.id), timeout=DEADLINE, wait_for_ready=True
            ).upload
            assert found.committed_size == at
        uploads.WriteChunk(chunk(upload.id, at, PICTURE[at:]), timeout=DEADLINE)
        finish = FinishUploadRequest(id=upload.id, size_bytes=len(PICTURE), sha256=SHA)
        done = uploads.FinishUpload(finish, timeout=DEADLINE).upload
        server.kill()
        server.start()
        again = uploads.FinishUpload(finish, timeout=DEADLINE, wait_for_ready=True).upload
        assert again == done
        assert again.image.sha256 == SHA


async def test_a_broken_stream_keeps_what_came(serving: Server) -> None:
    channel = grpc.aio.insecure_channel(serving.address)
    uploads = uploads_pb2_grpc.UploadServiceStub(channel)
    upload = (await uploads.CreateUpload(new())).upload
    call = uploads.WriteStream(timeout=DEADLINE)
    await call.write(WriteStreamRequest(upload_id=upload.id, data=PICTURE[:100_000]))
    # The first part is acknowledged; the second may or may not be when the connection is lost.
    while (await call.read()).committed_size < 100_000:
        pass
    await call.write(WriteStreamRequest(offset=100_000, data=PICTURE[100_000:200_000]))
    await channel.close()
    async with grpc.aio.insecure_channel(serving.address) as another:
        uploads = uploads_pb2_grpc.UploadServiceStub(another)

        async def committed() -> int:
            return (await uploads.GetUpload(GetUploadRequest(id=upload.id))).upload.committed_size

        assert await committed() in {100_000, 200_000}
        reply = await uploads.WriteStream(iter([WriteStreamRequest(upload_id=upload.id)])).read()
        assert reply.committed_size in {100_000, 200_000}


def test_open_uploads_are_limited(start) -> None:
    server = start(max_open_uploads="6")  # of which one client may have half
    with grpc.insecure_channel(server.address) as channel:
        uploads = uploads_pb2_grpc.UploadServiceStub(channel)
        assert uploads.GetLimits(GetLimitsRequest(), timeout=DEADLINE).max_open_uploads == 6
        first, *_ = [created(uploads, user="Ana") for _ in range(3)]
        request = CreateUploadRequest(request_id="one more")
        error = refused(uploads.CreateUpload, request)
        assert (error.code(), reason(error)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_UPLOADS")
        assert detail(error, RetryInfo()).retry_delay.seconds > 0
        # Open uploads survive a restart and still count.
        server.stop()
        server.start()
        assert reason(refused(uploads.CreateUpload, request)) == "TOO_MANY_UPLOADS"
        uploads.CancelUpload(CancelUploadRequest(id=first.id), timeout=DEADLINE)
        assert uploads.CreateUpload(request, timeout=DEADLINE).upload.state == Upload.STATE_OPEN


def test_bytes_of_open_uploads_are_limited(start) -> None:
    server = start(max_open_bytes=f"{8 * MIB}")  # of which one client may have half
    with grpc.insecure_channel(server.address) as channel:
        uploads = uploads_pb2_grpc.UploadServiceStub(channel)
        assert uploads.GetLimits(GetLimitsRequest(), timeout=DEADLINE).max_open_bytes == 8 * MIB
        reserved = created(uploads, size_bytes=3 * MIB)
        error = refused(uploads.CreateUpload, CreateUploadRequest(request_id="more", size_bytes=2 * MIB))
        assert (error.code(), reason(error)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "UPLOAD_BYTES_EXCEEDED")
        # An upload without a declared size is refused at the chunk that exceeds the limit, and goes on
        # from there once there is room.
        growing = created(uploads)
        small = b"".join(bitmap(800, 600))
        half = len(small) // 2
        uploads.WriteChunk(chunk(growing.id, 0, small[:half]), timeout=DEADLINE)
        error = refused(uploads.WriteChunk, chunk(growing.id, half, small[half:]))
        assert reason(error) == "UPLOAD_BYTES_EXCEEDED"
        found = uploads.GetUpload(GetUploadRequest(id=growing.id), timeout=DEADLINE).upload
        assert (found.state, found.committed_size) == (Upload.STATE_OPEN, half)
        uploads.CancelUpload(CancelUploadRequest(id=reserved.id), timeout=DEADLINE)
        uploads.WriteChunk(chunk(growing.id, half, small[half:]), timeout=DEADLINE)
        finish = FinishUploadRequest(id=growing.id, size_bytes=len(small))
        assert uploads.FinishUpload(finish, timeout=DEADLINE).upload.state == Upload.STATE_READY


async def test_requests_that_come_twice_or_out_of_order(serving: Server, somebody: str) -> None:
    halves = PICTURE[: 2 * MIB], PICTURE[2 * MIB :]
    async with grpc.aio.insecure_channel(serving.address) as channel:
        uploads = uploads_pb2_grpc.UploadServiceStub(channel)
        # Ten simultaneous requests with one request_id make one upload.
        request = new(size_bytes=len(PICTURE), user=somebody)
        made = await asyncio.gather(*(uploads.CreateUpload(request, timeout=DEADLINE) for _ in range(10)))
        (upload_id,) = {reply.upload.id for reply in made}

        # A chunk that comes too early is refused, and the error says which offset is expected.
        error = await refusal(uploads.WriteChunk(chunk(upload_id, 2 * MIB, halves[1]), timeout=DEADLINE))
        assert reason(error) == "OFFSET_MISMATCH"
        assert detail(error, errors_pb2.OffsetMismatch()).expected_offset == 0

        # Of eight copies of a chunk at once one is appended; the others get the offset after it.
        first = await uploads.WriteChunk(chunk(upload_id, 0, halves[0][:MIB]), timeout=DEADLINE)
        same = chunk(upload_id, MIB, halves[0][MIB:], writer_epoch=first.writer_epoch)
        outcomes = await asyncio.gather(
            *(uploads.WriteChunk(same, timeout=DEADLINE) for _ in range(8)), return_exceptions=True
        )
        failed = [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
        assert len(failed) == 7
        assert {reason(error) for error in failed} == {"OFFSET_MISMATCH"}
        assert {detail(error, errors_pb2.OffsetMismatch()).expected_offset for error in failed} == {2 * MIB}

        # A repeated message ends its stream; the first copy is kept.
        call = uploads.WriteStream(timeout=DEADLINE)
        message = WriteStreamRequest(upload_id=upload_id, offset=2 * MIB, data=halves[1][:MIB])
        await call.write(message)
        await call.write(message)
        error = await refusal(drained(call))
        assert reason(error) == "OFFSET_MISMATCH"
        found = (await uploads.GetUpload(GetUploadRequest(id=upload_id), timeout=DEADLINE)).upload
        assert found.committed_size == 3 * MIB

        await uploads.WriteChunk(chunk(upload_id, 3 * MIB, halves[1][MIB:]), timeout=DEADLINE)
        # Eight simultaneous calls to finish it make one image.
        finish = FinishUploadRequest(id=upload_id, size_bytes=len(PICTURE), sha256=SHA)
        done = await asyncio.gather(*(uploads.FinishUpload(finish, timeout=DEADLINE) for _ in range(8)))
        assert {(reply.upload.state, reply.upload.image.sha256) for reply in done} == {
            (Upload.STATE_READY, SHA)
        }
        images = images_pb2_grpc.ImageServiceStub(channel)
        listed = await images.ListImages(images_pb2.ListImagesRequest(user=somebody), timeout=DEADLINE)
        assert [image.id for image in listed.images] == [done[0].upload.image.id]
        # Creating it again with the same request_id returns the finished upload.
        again = (await uploads.CreateUpload(request, timeout=DEADLINE)).upload
        assert again == done[0].upload


async def refusal(call) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def drained(call) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass
