"""Many images at once: small ones over a few streams of UploadImages, large ones beside them, each as
`upload` sends it."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Iterable
from os import PathLike
from typing import Any, TypeAlias

import grpc

from conexiones import errors
from conexiones.errors import ConexionesError
from conexiones.gen.conexiones.v1.uploads_pb2 import UploadImagesRequest, UploadImagesResponse
from conexiones.sdk import results, sending, small
from conexiones.sdk.argument_types import check_count
from conexiones.sdk.connection import Connection, Link, ours
from conexiones.sdk.failures import ConnectionLost, NoProgress, Stalled, from_told, worth_retrying
from conexiones.sdk.reading import Job, Reader, Sources, bytes_of
from conexiones.sdk.results import Image, Uploaded
from conexiones.sdk.resume import Resume
from conexiones.sdk.small import Whole
from conexiones.sdk.sources import NewImage
from conexiones.sdk.stream_status import Replies
from conexiones.sdk.threads import cancelled, seen

Progress: TypeAlias = Callable[[int, int, int | None], object]
"""Called with the index of a large image, the number of its durable bytes and the total, None if unknown."""

STREAMS = 4
"""Streams over which small images are sent."""
MOST_AT_A_TIME = 1000
"""Large images, whatever `concurrency` is. Each has a task, and no server takes more of one client."""
UNANSWERED = 32
"""Images that a stream may have without a response: twice as many as the server works on at a time."""
END_SECONDS = 1.0
"""How long the streams may take to end when all images have their outcomes."""

_OF_ALL = (errors.Unauthenticated, errors.ScopeMissing, NoProgress, ConnectionLost)
"""Errors of one image that would meet every other one, too."""
_OF_THE_REST = (*_OF_ALL, errors.ResourceExhausted, errors.PermissionDenied)
"""Errors of a stream that would meet every other one, too."""


class Many:
    """One call of `upload_many`. Use once."""

    def __init__(
        self,
        connection: Connection,
        *,
        user: str | None,
        concurrency: int,
        resume: Resume,
        progress: Progress | None,
    ) -> None:
        self.connection = connection
        self._user = user
        self._concurrency = min(check_count("concurrency", concurrency, "images"), MOST_AT_A_TIME)
        self._resume = resume
        self._progress = progress
        self._reader: Reader
        self._outcomes: list[Uploaded] = []
        self._bytes = 0
        """Those that the outcomes still have: of small images, and of large ones in memory."""
        self._news: asyncio.Event
        self._done = 0
        self._failure: BaseException | None = None
        self._pausing: set[asyncio.Task[None]] = set()

    async def batches(self, sources: Sources) -> AsyncGenerator[list[Uploaded], None]:
        """The outcomes, as many as there are at a time."""
        _check(sources)
        self._news = asyncio.Event()
        self._reader = Reader(
            small_bytes=lambda: self.connection.small_bytes,
            user=self._user,
            resume=self._resume,
            large=self._concurrency,
        )
        reading = self._begin(self._reader.run(sources), fails=False)
        sending = [self._begin(self._stream()) for _ in range(STREAMS)]
        sending += [self._begin(self._send_large()) for _ in range(self._concurrency)]
        try:
            while self._failure is None and not (reading.done() and self._done == self._reader.taken):
                self._news.clear()
                if not self._outcomes:
                    await self._news.wait()
                if batch := self._take():
                    yield batch
            if batch := self._take():
                yield batch
            if self._failure is not None:
                raise self._failure
            self._reader.small.end()
            self._reader.large.end()
            await asyncio.wait(sending, timeout=END_SECONDS)
            await reading
        finally:
            self._reader.close()
            await cancelled({reading, *sending, *self._pausing})

    def _begin(self, work: Coroutine[Any, Any, None], *, fails: bool = True) -> asyncio.Task[None]:
        """A task whose end is news. What it raises ends all, if it `fails`."""

        def ended(task: asyncio.Task[None]) -> None:
            seen(task)
            if fails and not task.cancelled() and task.exception() and self._failure is None:
                self._failure = task.exception()
            self._news.set()

        task = asyncio.create_task(work)
        task.add_done_callback(ended)
        return task

    def _take(self) -> list[Uploaded]:
        batch, self._outcomes = self._outcomes, []
        self._reader.outcomes_taken(len(batch), self._bytes)
        self._bytes = 0
        return batch

    def _outcome(self, job: Job, image: Image | None, error: Exception | None = None) -> None:
        if job.whole is not None:
            self._bytes += len(job.whole.data)
        self._outcomes.append(Uploaded(index=job.index, source=job.given, image=image, error=error))
        self._done += 1
        self._news.set()

    # Large images

    async def _send_large(self) -> None:
        while (job := await self._reader.large.take()) is not None:
            await self._one_large(job)

    async def _one_large(self, job: Job) -> None:
        whole, item = job.whole, job.item
        if whole is not None:  # the server does not take it with a single call
            item = NewImage(source=whole.data, user=whole.user, name=whole.name, sha256=whole.sha256)

        def progress(done: int, total: int | None) -> None:
            if self._progress:
                self._progress(job.index, done, total)

        progress(0, None)  # it begins
        image, failed = None, None
        try:
            image = await sending.send(
                self.connection,
                item,
                progress=progress,
                resume=self._resume if isinstance(item.source, str | PathLike) else None,
                chunk_size=None,
                request_id=whole.request_id if whole else None,
            )
        except _OF_ALL:
            raise
        except Exception as error:
            failed = error
        if whole is None:
            size = bytes_of(item)
            self._bytes += size
            self._reader.finished(size)
        self._outcome(job, image, failed)

    # Small images

    async def _stream(self) -> None:
        """Sends small images over one stream after the other."""
        backoff = None
        while (found := await self.next_small()) is not None:
            self.put_back([found[0]])
            sent = await self.connection.sending()
            lane = _Lane(self)
            try:
                async with self.connection.use() as link:
                    await lane.run(link)
            except ConexionesError as error:
                if self._refused_as_small(lane, error):
                    continue
                if not await self.connection.worth_another(error, sent):
                    if not lane.unanswered or isinstance(error, _OF_THE_REST):
                        raise
                    # Images are stored in their order, so it is the first that was not.
                    lane.unanswered[0][0].alone = True
                    continue
                if backoff is None or lane.answered:
                    backoff = self.connection.backoff()
                await backoff.pause(error, reached=self.connection.reached)

    def _refused_as_small(self, lane: "_Lane", error: ConexionesError) -> bool:
        """Whether the stream ended because the server does not take what was sent that way."""
        largest = max((len(whole.data) for _, whole in lane.unanswered), default=1)
        return small.learn_from(self.connection, error, largest)

    async def next_small(self) -> "tuple[Job, Whole] | None":
        """The next image for a stream. None after the end."""
        while (job := await self._reader.small.take()) is not None:
            if job.whole is None:
                self._outcome(job, None, job.error)
            elif job.alone or len(job.whole.data) > self.connection.small_bytes:
                self._reader.large.put(job)
            else:
                return job, job.whole
        return None

    def put_back(self, jobs: Iterable[Job]) -> None:
        self._reader.small.put_back(jobs)

    def refuse(self, job: Job, error: Exception) -> None:
        """The image is not sent."""
        self._outcome(job, None, error)

    def answered(self, job: Job, whole: Whole, response: UploadImagesResponse) -> None:
        """Raises what concerns all images."""
        if response.HasField("image"):
            try:
                self._outcome(job, whole.checked(results.image(response.image)))
            except errors.ChecksumMismatch as other:
                self._outcome(job, None, other)
            return
        error = from_told(response.failure)
        if isinstance(error, _OF_ALL):
            raise error
        if small.learn_from(self.connection, error, len(whole.data)):
            self._reader.large.put(job)
        elif not worth_retrying(error) or (
            isinstance(error, errors.ChecksumMismatch) and not whole.damaged(error)
        ):
            self._outcome(job, None, error)
        else:
            task = self._begin(self._again(job, error))
            self._pausing.add(task)
            task.add_done_callback(self._pausing.discard)

    async def _again(self, job: Job, error: ConexionesError) -> None:
        """Puts the image back when it is worth another attempt."""
        job.backoff = job.backoff or self.connection.backoff()
        try:
            await job.backoff.pause(error, reached=True)
        except ConexionesError as last:
            self._outcome(job, None, last)
        else:
            self._reader.small.put_back([job])


class _Lane:
    """One stream of UploadImages. When it ends early, the images without a response are put back."""

    def __init__(self, many: Many) -> None:
        self.answered = False
        """Whether there was a response."""
        self.unanswered: deque[tuple[Job, Whole]] = deque()
        self._many = many
        self._room = asyncio.Event()
        self._timeout = many.connection.options.timeout
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self._stalled = False

    async def run(self, link: Link) -> None:
        """Returns when there are no more images. Raises Stalled if images are unanswered, and there was no
        response for `timeout` seconds."""
        call = link.uploads.UploadImages()
        replies = Replies(call)
        writing = asyncio.create_task(self._write(call))
        writing.add_done_callback(seen)
        watching = asyncio.create_task(self._watch(call))
        try:
            while (response := await replies.read()) is not grpc.aio.EOF:
                self._take(response)
            self._many.connection.reached = True
            if self.unanswered or not writing.done():
                raise ConnectionLost(why="the server ended the stream")
        except ConnectionLost:
            if not self._stalled:
                raise
            self._many.connection.renew(link)
            raise Stalled(why=f"nothing was acknowledged for {self._timeout:g} seconds") from None
        finally:
            call.cancel()
            try:
                await cancelled({writing, watching})
                await replies.close()
                self._many.put_back(job for job, _ in self.unanswered)
            finally:
                del call, replies, writing, watching  # see `release`

    async def _write(self, call: Any) -> None:
        try:
            while (found := await self._many.next_small()) is not None:
                job, whole = found
                try:
                    request = whole.request(UploadImagesRequest)
                except errors.InvalidField as error:
                    self._many.refuse(job, error)
                    continue
                if not self.unanswered:
                    self._since = self._loop.time()
                self.unanswered.append(found)
                await ours(call.write(request))
                while len(self.unanswered) >= UNANSWERED:
                    self._room.clear()
                    await self._room.wait()
            await ours(call.done_writing())
        finally:
            del call

    def _take(self, response: UploadImagesResponse) -> None:
        self._many.connection.reached = True
        if not self.unanswered or response.request_id != self.unanswered[0][1].request_id:
            raise ConnectionLost(why="a response came that belongs to no image")
        self._many.answered(*self.unanswered[0], response)
        self.unanswered.popleft()
        self._since = self._loop.time()
        self.answered = True
        self._room.set()

    async def _watch(self, call: Any) -> None:
        try:
            while True:
                left = self._since + self._timeout - self._loop.time()
                if left <= 0 and self.unanswered:
                    break
                await asyncio.sleep(left if left > 0 else self._timeout)
            self._stalled = True
            call.cancel()
        finally:
            del call


def _check(sources: object) -> None:
    """Raises TypeError for a single source, whose pieces would be taken for sources."""
    if isinstance(sources, str | PathLike | bytes | bytearray | memoryview | NewImage):
        raise TypeError("sources is an iterable of sources; upload sends a single one.")
    if not isinstance(sources, Iterable | AsyncIterable):
        raise TypeError(f"sources is an iterable, not {type(sources).__name__}.")
