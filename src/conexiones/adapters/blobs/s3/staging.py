"""The Staging of an object store."""

from conexiones.adapters.blobs.holds import check_upload_id
from conexiones.adapters.blobs.s3.backend import Backend
from conexiones.adapters.blobs.s3.resumable import S3ResumableStaged, drop
from conexiones.adapters.blobs.s3.staged import S3Staged
from conexiones.ports.staging import ResumableStaged, Staged


class S3Staging:
    """A Staging. S3Store makes it, opens it and closes it.

    Who holds an upload is known for this process only. Of two servers that hold the same upload, the second
    one to commit or to publish hears WriterFenced.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def stage(self) -> Staged:
        return S3Staged(self._backend)

    async def resume(self, upload_id: str, size: int) -> ResumableStaged:
        """As in the port. ValueError if that is no id of an upload."""
        staged = S3ResumableStaged(self._backend, self._backend.holds.take(upload_id))
        try:
            await staged.open(size)
        except BaseException:
            await staged.release()
            raise
        return staged

    async def drop(self, upload_id: str) -> None:
        """As in the port. ValueError if that is no id of an upload."""
        if upload_id not in self._backend.holds:
            check_upload_id(upload_id)
            await drop(self._backend, upload_id)
