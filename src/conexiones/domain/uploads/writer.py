"""The writer of an upload, of which there is one at a time."""

import google_crc32c

from conexiones import errors
from conexiones.domain.uploads.held import HeldUpload
from conexiones.ports.records import UploadRecord


class UploadWriter:
    """One writer of an upload, until another takes it. Used by one task at a time.

    `committed` is the durable size as far as this writer knows. `fenced` is set when it has lost the upload.
    """

    def __init__(self, held: HeldUpload, upload: UploadRecord) -> None:
        self._held = held
        self._limit = upload.declared_size
        self.epoch = upload.writer_epoch
        self.committed = upload.committed_size
        self.fenced = held.fenced

    async def write(self, offset: int, data: bytes, crc32c: int | None) -> int:
        """Appends a chunk and gives the size with it, which is not durable before `commit`.

        Raises WriterFenced, OffsetMismatch, ChecksumMismatch (the chunk is dropped), SizeExceeded, or an
        ImageError, after which the upload is REJECTED.
        """
        held = self._held
        async with held.lock:
            self.check()
            staged = held.staged
            if offset != staged.size:
                raise errors.OffsetMismatch(field="offset", expected=staged.size, actual=offset)
            if crc32c is not None and google_crc32c.value(data) != crc32c:
                raise errors.ChecksumMismatch(
                    field="data",
                    algorithm="CRC-32C",
                    expected=f"{crc32c:08x}",
                    actual=f"{google_crc32c.value(data):08x}",
                )
            size = offset + len(data)
            if self._limit is not None and size > self._limit:
                raise errors.SizeExceeded(field="data", limit=self._limit, actual=size)
            try:
                held.images.check_size(size)
                if held.head:
                    held.head.see(data)
            except errors.ImageError as error:
                error.field = "data"
                await held.reject(error)
                raise
            await staged.write(data)
            return size

    async def commit(self) -> int:
        """Makes all that was written durable and gives its size.

        Raises WriterFenced, UploadEnded, UploadBytesExceeded and StorageUnavailable.
        """
        async with self._held.lock:
            self.check()
            self.committed = (await self._held.commit(self.epoch)).committed_size
            return self.committed

    def check(self) -> None:
        """Raises WriterFenced if another writer has the upload."""
        if self._held.epoch != self.epoch:
            raise errors.WriterFenced(epoch=self._held.epoch)
