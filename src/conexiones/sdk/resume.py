"""The state file of an upload, with which another process can resume it.

It holds the `request_id`, which is all that is needed: CreateUpload with the same id returns the same upload
with the number of durable bytes, or the image if the upload has been finished since.
"""

import hashlib
import json
import os
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path

SUFFIX = ".conexiones-upload"


@dataclass(frozen=True, slots=True)
class Begun:
    """An upload that was begun, and the file as it was then. If the file's size or modification time has
    changed, it is another upload. `name` is None in files of versions that sent no names."""

    request_id: str
    address: str
    user: str
    path: str
    size: int
    mtime_ns: int
    name: str | None = None


class StateFile:
    """Written before the upload is created, and removed when it has ended."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, source: Path, folder: Path | None) -> "StateFile":
        """The state file beside the source, or in `folder` under a name that depends on the source's path."""
        if folder is None:
            return cls(source.with_name(source.name + SUFFIX))
        digest = hashlib.sha256(str(source.absolute()).encode(errors="surrogateescape")).hexdigest()
        return cls(folder / f"{source.name}.{digest[:12]}{SUFFIX}")

    def begin(self, source: Path, *, address: str, user: str, name: str) -> Begun:
        """The upload in the state file if it is of the same file, address, user and name; otherwise a new
        one, which is written to the file."""
        stat = source.stat()
        path = str(source.absolute())
        new = Begun(new_id(), address, user, path, stat.st_size, stat.st_mtime_ns, name)
        old = self._read()
        if old is not None:
            same = replace(new, request_id=old.request_id)
            if old in (same, replace(same, name=None)):
                return old
        self._write(new)
        return new

    def renew(self, begun: Begun) -> str:
        """Records another upload of the same file, as the one before cannot be continued, and gives its
        request_id."""
        request_id = new_id()
        self._write(replace(begun, request_id=request_id))
        return request_id

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def _read(self) -> Begun | None:
        try:
            return Begun(**json.loads(self.path.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def _write(self, begun: Begun) -> None:
        draft = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        draft.write_text(json.dumps(asdict(begun)))
        draft.replace(self.path)


def new_id() -> str:
    """A request_id that nobody has used."""
    return str(uuid.uuid4())
