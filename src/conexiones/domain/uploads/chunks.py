"""A stream of chunks: when what it brings is committed and acknowledged."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import NamedTuple

from conexiones.domain.uploads.writer import UploadWriter
from conexiones.errors import ConexionesError, FormatNotGranted, ImageError
from conexiones.tracing import span

ACK_BYTES = 8 << 20
"""Bytes that are written but not committed, from which on a commit begins."""

ACK_SECONDS = 0.2
"""The longest that a written byte waits for a commit to begin."""


class Chunk(NamedTuple):
    """Bytes of an upload that begin at `offset`, and their CRC-32C if the client sent it."""

    offset: int
    data: bytes | memoryview
    crc32c: int | None


class ChunkFlow:
    """Writes one stream of chunks.

    Chunks are taken in by a task of their own, so they go on during a commit.
    """

    def __init__(self, writer: UploadWriter) -> None:
        self._writer = writer
        self._written = writer.committed
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False
        self._error: BaseException | None = None

    async def run(self, chunks: AsyncGenerator[Chunk, None]) -> AsyncGenerator[int, None]:
        """The committed sizes to acknowledge: the first at once, the last when all is committed.

        Raises what `chunks` raises, and what `write` and `commit` of the writer raise. What was written
        before an error is committed all the same, unless the upload was rejected. `chunks` is closed when
        this ends.
        """
        writer = self._writer
        yield writer.committed
        reading = asyncio.create_task(self._read(chunks))
        fenced = asyncio.create_task(writer.fenced.wait())
        fenced.add_done_callback(lambda _: self._wake.set())
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                self._stop_timer()
                writer.check()
                if isinstance(self._error, ImageError | FormatNotGranted):
                    raise self._error  # the upload is rejected, so there is nothing to commit
                if self._written > writer.committed:
                    yield await writer.commit()
                elif self._ended:
                    break
                if self._ended:
                    self._wake.set()
            if self._error:
                raise self._error
        finally:
            # The caller's iterator of messages must not be in use when the call ends.
            reading.cancel()
            fenced.cancel()
            await asyncio.gather(reading, fenced, return_exceptions=True)
            self._stop_timer()
            # Bytes that came over a connection which then broke need not be sent again.
            if self._written > writer.committed:
                with suppress(ConexionesError):
                    await writer.commit()

    async def _read(self, chunks: AsyncGenerator[Chunk, None]) -> None:
        try:
            with span("stage"):
                async with aclosing(chunks):
                    async for chunk in chunks:
                        self._written = await self._writer.write(*chunk)
                        del chunk  # not kept while waiting for the next one
                        self._plan_commit()
        except Exception as error:
            self._error = error
        finally:
            self._ended = True
            self._wake.set()

    def _plan_commit(self) -> None:
        if self._written - self._writer.committed >= ACK_BYTES:
            self._wake.set()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(ACK_SECONDS, self._wake.set)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
