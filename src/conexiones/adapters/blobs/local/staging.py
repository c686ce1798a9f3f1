"""The Staging of a data folder."""

import re

from conexiones.adapters.blobs.local.buffers import Buffers
from conexiones.adapters.blobs.local.folder import Folder
from conexiones.adapters.blobs.local.resumable import LocalResumableStaged, checksums_path
from conexiones.adapters.blobs.local.staged import LocalStaged
from conexiones.ports.staging import ResumableStaged, Staged

_UPLOAD_ID = re.compile(r"[A-Za-z0-9-]{1,64}")


def is_upload_id(text: str) -> bool:
    """Whether that can be an upload's id, and so the name of a file: 1 to 64 letters, digits and hyphens."""
    return _UPLOAD_ID.fullmatch(text) is not None


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
        self._held: set[str] = set()  # ids that are resumed or being dropped; used on the event loop only

    def stage(self) -> Staged:
        return LocalStaged(self._folder, self._buffers, self._small)

    async def resume(self, upload_id: str, size: int) -> ResumableStaged:
        """As in the port. ValueError if that is no id of an upload."""
        self._hold(upload_id)
        staged = LocalResumableStaged(
            self._folder,
            self._buffers,
            self._small,
            upload_id,
            let_go=lambda: self._held.discard(upload_id),
        )
        try:
            await self._folder.run(staged.open, size)
        except BaseException:
            await staged.release()
            raise
        return staged

    async def drop(self, upload_id: str) -> None:
        """As in the port. ValueError if that is no id of an upload."""
        if upload_id in self._held:
            return
        self._hold(upload_id)
        try:
            # The bytes first: the next start removes checksums whose upload is not OPEN.
            for path in (self._folder.uploads / upload_id, checksums_path(self._folder, upload_id)):
                await self._folder.run(path.unlink, missing_ok=True)
        finally:
            self._held.discard(upload_id)

    def _hold(self, upload_id: str) -> None:
        if not is_upload_id(upload_id):
            raise ValueError(f"{upload_id!r} is no id of an upload")
        if upload_id in self._held:
            raise RuntimeError(f"upload {upload_id} is held already")
        self._held.add(upload_id)
