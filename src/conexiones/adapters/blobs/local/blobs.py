"""The Blobs of a data folder."""

import asyncio
import logging
import os
import secrets
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

from conexiones.adapters.blobs.local.checksums import BLOCK_BYTES, Checksums
from conexiones.adapters.blobs.local.file_view import FileView
from conexiones.adapters.blobs.local.folder import Folder
from conexiones.adapters.blobs.local.large_blob import Blocks, Hashed, LargeBlob
from conexiones.adapters.system.disk import LOST, sync_folder, write_durably
from conexiones.adapters.system.threads import finish
from conexiones.direct_file import DirectFile
from conexiones.errors import BlobCorrupt, ConexionesError
from conexiones.ports.staging import Content
from conexiones.whole import to_end

log = logging.getLogger(__name__)

PIECE = 256 << 10
"""Bytes of the largest piece that is given, by default."""

P = ParamSpec("P")
T = TypeVar("T")


class LocalBlobs:
    """A Blobs. LocalStore makes it, opens it and closes it."""

    def __init__(self, folder: Folder, *, piece: int = PIECE) -> None:
        """Blobs are given in pieces of at most `piece` bytes."""
        self._folder = folder
        self._piece = piece
        self._hashed = Hashed()

    async def read(self, digest: bytes, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """As in the port. Of a large blob, each block is checked before it is given (large_blob.py).

        Without checksums, which blobs of earlier versions do not have, only the SHA-256 of the whole is
        checked, before the last block is given. Those checksums are made on that occasion.
        """
        try:
            found = self._folder.cache.get(digest) or await self._find(digest, offset)
            if isinstance(found, bytes):
                if offset > len(found):
                    raise BlobCorrupt
                while offset < len(found):
                    yield found[offset : offset + self._piece]
                    offset += self._piece
                return
            async with aclosing(self._pieces(found)) as pieces:
                async for piece in pieces:
                    yield piece
                    del piece  # the next one comes in its place
        except BlobCorrupt as error:
            _name(error, digest)
            raise

    async def _pieces(self, found: "_Opened") -> AsyncGenerator[bytes, None]:
        """Those of a large blob, which is closed at the end."""
        folder, blob, blocks = self._folder, found.blob, found.blocks
        pieces = found.pieces
        del found
        try:
            while True:
                if blocks.made is not None and blob.size > BLOCK_BYTES:
                    await to_end(asyncio.ensure_future(self._keep_checksums(blob.digest, blocks.made)))
                while pieces:  # none of them is kept here once it was given
                    yield pieces.popleft()
                if blocks.ended:
                    return
                pieces.extend(await folder.run(blocks.next))
        finally:
            if blob.closes_fast():
                blob.close()
            else:
                await folder.close(blob.close)

    def cached(self, digest: bytes) -> bytes | None:
        return self._folder.cache.peek(digest)

    async def check(self, digest: bytes) -> AsyncIterator[int]:
        """As in the port. Blobs without checksums get them on this occasion, as in `read`."""
        folder = self._folder
        record = await folder.run(folder.segments.find, digest)
        if record is not None:
            yield len(await folder.run(_unless_lost, folder.segments.read_afresh, record))
            return
        job = folder.submit(_unless_lost, self._open, digest)
        try:
            blob = await finish(job)
        except asyncio.CancelledError:
            if job.exception() is None:
                job.result().close()
            raise
        try:
            blob.forget()
            blocks = Blocks(blob, 0, Hashed(), piece=self._piece)
            while not blocks.ended:
                yield sum(map(len, await folder.run(_unless_lost, blocks.next)))
            if blocks.made is not None and blob.size > BLOCK_BYTES:
                await to_end(asyncio.ensure_future(self._keep_checksums(digest, blocks.made)))
        finally:
            await folder.close(blob.close)

    @property
    def largest_local(self) -> int | None:
        """As in the port. Only small blobs are copied."""
        return None

    @asynccontextmanager
    async def local(self, digest: bytes) -> AsyncIterator[Path]:
        folder = self._folder
        copy = folder.incoming / secrets.token_hex(16)
        copied: bool | None = None  # whether there is a copy; None: there may be a part of one
        try:
            # All in one go: a decoder waits for it.
            try:
                copied = await folder.run(self._copied, digest, copy)
            except BlobCorrupt as error:
                _name(error, digest)
                raise
            yield copy if copied else folder.path(digest)
        finally:
            if copied is not False:
                await folder.run(copy.unlink, missing_ok=True)

    async def read_ahead(self, digests: Sequence[bytes]) -> None:
        """As in the port. Nothing is far away here."""

    async def inspect(self, digest: bytes, judge: Callable[[Content], T]) -> T:
        folder = self._folder
        try:
            record = await folder.run(folder.segments.find, digest)
            if record is not None:
                return await folder.run(judge, await folder.run(folder.segments.read, record))
            return await folder.run(self._inspect, digest, judge)
        except BlobCorrupt as error:
            _name(error, digest)
            raise

    @asynccontextmanager
    async def removing(self, digest: bytes) -> AsyncIterator[None]:
        # A marker like that of an upload: should the rest not come about, the next start sees to the blob.
        marker = self._folder.incoming / f"{digest.hex()}.{secrets.token_hex(16)}"
        await self._folder.run(self._mark, marker)
        try:
            yield
        except ConexionesError:  # then no row was deleted
            await self._folder.run(marker.unlink)
            raise
        await self.delete(digest)
        await self._folder.run(marker.unlink)

    async def delete(self, digest: bytes) -> None:
        """As in the port; durable."""
        await to_end(asyncio.ensure_future(self._delete(digest)))

    async def _delete(self, digest: bytes) -> None:
        await self._folder.run(self._folder.counts.acquire, digest)
        await self._folder.give_up(digest)

    async def _keep_checksums(self, digest: bytes, checksums: Checksums) -> None:
        """Puts checksums beside a blob that has none. If that fails, the next whole read tries it again."""
        folder = self._folder
        try:
            await folder.run(folder.counts.acquire, digest)  # so that nobody deletes the blob meanwhile
            try:
                await folder.run(self._put_checksums, digest, checksums)
            finally:
                await folder.give_up(digest)
        except ConexionesError:
            log.warning("The checksums of %s could not be kept", digest.hex(), exc_info=True)

    async def _find(self, digest: bytes, offset: int) -> "bytes | _Opened":
        """A small blob, checked, or a large one, open, of which the block with the offset was read."""
        with self._folder.cache.reading(digest) as reading:
            job = self._folder.submit(self._found, digest, offset)
            try:
                found = await finish(job)
            except asyncio.CancelledError:
                if job.exception() is None and isinstance(late := job.result(), _Opened):
                    late.blob.close()
                raise
            if isinstance(found, bytes):
                reading.keep(found, len(found))
            return found

    # For threads.

    def _found(self, digest: bytes, offset: int) -> "bytes | _Opened":
        record = self._folder.segments.find(digest)
        if record is not None:
            return self._folder.segments.read(record)
        blob = self._open(digest)
        try:
            blocks = Blocks(blob, offset, self._hashed, piece=self._piece)
            return _Opened(blob, blocks, deque(() if blocks.ended else blocks.next()))
        except BaseException:
            blob.close()
            raise

    def _open(self, digest: bytes) -> LargeBlob:
        folder = self._folder
        try:
            return LargeBlob.open(digest, folder.path(digest), folder.checksums_path(digest))
        except FileNotFoundError as cause:
            folder.check_there()
            raise BlobCorrupt from cause

    def _check_whole(self, digest: bytes) -> None:
        """Raises BlobCorrupt. What is read stays in the system's memory for the decoder, which reads it
        next."""
        blob = self._open(digest)
        try:
            blocks = Blocks(blob, 0, self._hashed, piece=self._piece)
            while not blocks.ended:
                blocks.next()
        finally:
            blob.close()

    def _inspect(self, digest: bytes, judge: Callable[[Content], T]) -> T:
        blob = self._open(digest)
        blob.close()
        try:
            file = DirectFile(self._folder.path(digest))
        except FileNotFoundError as cause:  # deleted a moment ago
            raise BlobCorrupt from cause
        try:
            check = blob.checksums.check if blob.checksums else lambda _number, _data: None
            view = FileView(file, blob.size, check)
            try:
                return judge(view)
            finally:
                view.close()
        finally:
            file.close()

    def _mark(self, marker: Path) -> None:
        try:
            marker.touch(mode=0o600, exist_ok=False)
        except OSError as error:
            self._folder.ballast.give_up_if_full(error)
            marker.touch(mode=0o600, exist_ok=False)
        sync_folder(marker.parent)

    def _put_checksums(self, digest: bytes, checksums: Checksums) -> None:
        path = self._folder.checksums_path(digest)
        made = self._folder.incoming / f"{secrets.token_hex(16)}.crc32c"
        try:
            write_durably(made, checksums.pack())
            if self._folder.path(digest).exists():
                made.replace(path)
                sync_folder(path.parent)
        finally:
            made.unlink(missing_ok=True)

    def _copied(self, digest: bytes, path: Path) -> bool:
        """Copies a small blob to that path. False for a large one, which has a file, and was checked."""
        record = self._folder.segments.find(digest)
        if record is None:
            self._check_whole(digest)
            return False
        data = self._folder.segments.read(record)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        return True


def _name(error: BlobCorrupt, digest: bytes) -> None:
    """Has the log say which bytes are damaged. No client is told a note."""
    error.add_note(f"The damaged bytes are those with the SHA-256 {digest.hex()}.")


def _unless_lost(read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `read` gives; BlobCorrupt where the disk has lost the bytes."""
    try:
        return read(*args, **kwargs)
    except OSError as error:
        if error.errno not in LOST:
            raise
        raise BlobCorrupt from error


class _Opened(NamedTuple):
    """A large blob that is open, and the pieces of the first block."""

    blob: LargeBlob
    blocks: Blocks
    pieces: deque[bytes]
