"""When a stream of chunks is committed and acknowledged, on the real store."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import google_crc32c
import pytest

from conexiones.domain.uploads import Chunk, ChunkFlow, Uploads
from conexiones.errors import NotAnImage, OffsetMismatch, UploadEnded, WriterFenced
from conexiones.principals import EVERYBODY
from tests.support.bitmaps import bitmap
from tests.support.waiting import DEADLINE

CONTENT = b"".join(bitmap(1500, 1000))  # 4.5 MB
PIECE = 1 << 20


def chunk(offset: int, data: bytes) -> Chunk:
    return Chunk(offset, data, google_crc32c.value(data))


class Stream:
    """Chunks that come when the test sends them.

    `taken` is set when one of them was written, `closed` when nobody reads them any more.
    """

    def __init__(self) -> None:
        self.taken = asyncio.Event()
        self.closed = asyncio.Event()
        self._queue: asyncio.Queue[Chunk | Exception | None] = asyncio.Queue()

    def send(self, *chunks: Chunk | Exception | None) -> None:
        """Sends chunks, an error of the connection, or None for the end."""
        for one in chunks:
            self._queue.put_nowait(one)

    async def chunks(self) -> AsyncGenerator[Chunk, None]:
        try:
            while (one := await self._queue.get()) is not None:
                if isinstance(one, Exception):
                    raise one
                yield one
                self.taken.set()
        finally:
            self.closed.set()


@pytest.fixture
def stream() -> Stream:
    return Stream()


@pytest.fixture
async def upload(uploads: Uploads) -> str:
    return (await uploads.create("request", by=EVERYBODY, user="", size=None)).id


async def committed(uploads: Uploads, upload: str) -> int:
    return (await uploads.get(upload, by=EVERYBODY)).committed_size


async def test_all_is_acknowledged_at_the_end(uploads: Uploads, upload: str, stream: Stream) -> None:
    stream.send(*(chunk(at, CONTENT[at : at + PIECE]) for at in range(0, len(CONTENT), PIECE)), None)
    async with uploads.writer(upload, by=EVERYBODY) as writer:
        sizes = [size async for size in ChunkFlow(writer).run(stream.chunks())]
    assert (sizes[0], sizes[-1]) == (0, len(CONTENT))
    assert sizes == sorted(set(sizes))
    assert await committed(uploads, upload) == len(CONTENT)
    assert stream.closed.is_set()


async def test_a_chunk_is_acknowledged_though_no_other_comes(
    uploads: Uploads, upload: str, stream: Stream
) -> None:
    async with (
        uploads.writer(upload, by=EVERYBODY) as writer,
        aclosing(ChunkFlow(writer).run(stream.chunks())) as sizes,
    ):
        assert await anext(sizes) == 0
        for at in (0, 1000, 2000):
            stream.send(chunk(at, CONTENT[at : at + 1000]))
            async with asyncio.timeout(DEADLINE):
                assert await anext(sizes) == at + 1000
            assert await committed(uploads, upload) == at + 1000
    assert stream.closed.is_set()


async def test_a_broken_connection_loses_nothing_that_came(
    uploads: Uploads, upload: str, stream: Stream
) -> None:
    stream.send(chunk(0, CONTENT[:1000]), ConnectionResetError())
    async with uploads.writer(upload, by=EVERYBODY) as writer:
        with pytest.raises(ConnectionResetError):
            [size async for size in ChunkFlow(writer).run(stream.chunks())]
    assert await committed(uploads, upload) == 1000


async def test_a_call_that_is_cancelled_commits_what_came(
    uploads: Uploads, upload: str, stream: Stream
) -> None:
    async with (
        uploads.writer(upload, by=EVERYBODY) as writer,
        aclosing(ChunkFlow(writer).run(stream.chunks())) as sizes,
    ):
        assert await anext(sizes) == 0
        waiting = asyncio.ensure_future(anext(sizes))
        stream.send(chunk(0, CONTENT[:1000]))
        await stream.taken.wait()
        waiting.cancel()
        await asyncio.wait((waiting,))
    assert await committed(uploads, upload) == 1000
    assert stream.closed.is_set()


async def test_an_error_comes_after_the_acknowledgement_of_what_was_before_it(
    uploads: Uploads, upload: str, stream: Stream
) -> None:
    stream.send(chunk(0, CONTENT[:1000]), chunk(999, b"x"))
    async with (
        uploads.writer(upload, by=EVERYBODY) as writer,
        aclosing(ChunkFlow(writer).run(stream.chunks())) as sizes,
    ):
        assert [await anext(sizes), await anext(sizes)] == [0, 1000]
        with pytest.raises(OffsetMismatch) as mismatch:
            await anext(sizes)
    assert mismatch.value.facts["expected"] == 1000


async def test_what_is_no_image_ends_the_upload(uploads: Uploads, upload: str, stream: Stream) -> None:
    stream.send(chunk(0, b"no image at all" * 100))
    async with uploads.writer(upload, by=EVERYBODY) as writer:
        with pytest.raises(NotAnImage):
            [size async for size in ChunkFlow(writer).run(stream.chunks())]
    assert (await uploads.get(upload, by=EVERYBODY)).state == "REJECTED"
    with pytest.raises(UploadEnded):
        async with uploads.writer(upload, by=EVERYBODY):
            pass


async def test_a_stream_that_waits_hears_of_another_writer(
    uploads: Uploads, upload: str, stream: Stream
) -> None:
    async with (
        uploads.writer(upload, by=EVERYBODY) as writer,
        aclosing(ChunkFlow(writer).run(stream.chunks())) as sizes,
    ):
        await anext(sizes)
        waiting = asyncio.ensure_future(anext(sizes))
        async with uploads.writer(upload, by=EVERYBODY) as other:
            with pytest.raises(WriterFenced) as fenced:
                async with asyncio.timeout(DEADLINE):
                    await waiting
            assert fenced.value.facts["epoch"] == other.epoch == writer.epoch + 1
    assert stream.closed.is_set()
