"""The Staging of a data folder."""

from conexiones.adapters.blobs.holds import Holds
from conexiones.adapters.blobs.local.buffers import Buffers
from conexiones.adapters.blobs.local.folder import Folder
from conexiones.adapters.blobs.local.resumable import LocalResumableStaged, checksums_path
from conexiones.adapters.blobs.local.staged import LocalStaged
from conexiones.ports.staging import ResumableStaged, Staged


class LocalStaging:
    """A Staging. LocalStore makes it, opens it and closes it.

    Who holds an upload is known in the memory of this process, as only one uses the folder. Where several
    processes shared it, two could hold the same upload.
    """

    def __init__(self, folder: Folder, buffers: Buffers, *, small: int) -> None:
        """Blobs of at most `small` bytes go into segments."""
        self._folder = folder
        self._small = small
        self._buffers = buffers
        self._holds = Holds()  # uploads that are resumed or being dropped

    def stage(self) -> Staged:
        return LocalStaged(self._folder, self._buffers, self._small)

    async def resume(self, upload_id: str, size: int) -> ResumableStaged:
        """As in the port. ValueError if that is no id of an upload."""
        hold = self._holds.take(upload_id)
        staged = LocalResumableStaged(self._folder, self._buffers, self._small, hold)
        try:
            await self._folder.run(staged.open, size)
        except BaseException:
            await staged.release()
            raise
        return staged

    async def drop(self, upload_id: str) -> None:
        """As in the port. ValueError if that is no id of an upload."""
        if upload_id in self._holds:
            return
        hold = self._holds.take(upload_id)
        try:
            # The bytes first: the next start removes checksums whose upload is not OPEN.
            for path in (self._folder.uploads / upload_id, checksums_path(self._folder, upload_id)):
                await self._folder.run(path.unlink, missing_ok=True)
        finally:
            hold.end()
