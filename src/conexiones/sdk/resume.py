"""The state file of an upload, with which another process can resume it.

It holds the `request_id`, which is all that is needed: CreateUpload with the same id returns the same upload
with the number of durable bytes, or the image if the upload has been finished since.
"""

import errno
import hashlib
import json
import os
import tempfile
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TypeAlias

from conexiones.sdk import places
from conexiones.sdk.sources import AnySource

Resume: TypeAlias = str | PathLike[str] | bool | None
"""Where the state file of an upload is kept: see AsyncClient.upload."""

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
        self.new = False
        """Whether this process has begun the upload."""

    @classmethod
    def of(cls, source: Path, folder: Path | None) -> "StateFile":
        """The state file beside the source, or in `folder` under a name that depends on the source's path."""
        if folder is None:
            return cls(places.beside(source, SUFFIX))
        digest = hashlib.sha256(str(source.absolute()).encode(errors="surrogateescape")).hexdigest()
        return cls(places.beside(folder / source.name, f".{digest[:12]}{SUFFIX}"))

    def begin(
        self, source: Path, *, address: str, user: str, name: str, request_id: str | None = None
    ) -> Begun:
        """The upload in the state file if it is of the same file, address, user and name; otherwise a new
        one, with that request_id or one of its own, which is written to the file."""
        stat = source.stat()
        path = str(source.absolute())
        new = Begun(request_id or new_id(), address, user, path, stat.st_size, stat.st_mtime_ns, name)
        old = self._read()
        if old is not None:
            same = replace(new, request_id=old.request_id)
            if old in (same, replace(same, name=None)):
                return old
        self._write(new)
        self.new = True
        return new

    def renew(self, begun: Begun) -> str:
        """Records another upload of the same file, as the one before cannot be continued, and gives its
        request_id."""
        request_id = new_id()
        self._write(replace(begun, request_id=request_id))
        return request_id

    def remove(self) -> None:
        """If the file cannot be removed, it stays: it is of an upload that has ended, and does no harm."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _read(self) -> Begun | None:
        try:
            return Begun(**json.loads(self.path.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def _write(self, begun: Begun) -> None:
        # A new file under a name that nobody can foresee, in case the folder is one that others write to.
        descriptor, draft = tempfile.mkstemp(suffix=SUFFIX, prefix=".", dir=self.path.parent)
        try:
            with os.fdopen(descriptor, "w") as file:
                json.dump(asdict(begun), file)
            Path(draft).replace(self.path)
        except BaseException:
            Path(draft).unlink()
            raise


def begun(source: AnySource, resume: Resume) -> bool:
    """Whether an upload of the source may have been begun before. Raises ValueError, as `begin` does, and
    FileNotFoundError if `resume` is no folder, also for what is not recorded."""
    path = _recorded(source, resume)
    if path is None:
        return False
    if isinstance(resume, str | PathLike) and not Path(resume).is_dir():
        raise FileNotFoundError(errno.ENOENT, "There is no such folder", str(resume))
    return _state(path, resume).path.exists()


def begin(
    source: AnySource, resume: Resume, *, address: str, user: str, name: str, request_id: str
) -> tuple[StateFile | None, Begun | None]:
    """The upload of the source, and where it is recorded; None for both if it is not, see AsyncClient.upload.
    One that was not begun before gets that request_id.

    Raises ValueError if it cannot be because the source is no path, and OSError if the folder `resume` takes
    no file.
    """
    path = _recorded(source, resume)
    if path is None:
        return None, None
    state = _state(path, resume)
    try:
        return state, state.begin(path, address=address, user=user, name=name, request_id=request_id)
    except OSError:
        if resume is True:
            return None, None
        raise


def _recorded(source: AnySource, resume: Resume) -> Path | None:
    """The path of the source if its upload is recorded."""
    if resume is None or resume is False:
        return None
    if not isinstance(source, str | PathLike):
        raise ValueError("Only the upload of a path can be resumed by another process.")
    path = Path(source)
    return path if places.is_regular(path) else None


def _state(path: Path, resume: Resume) -> StateFile:
    return StateFile.of(path, Path(resume) if isinstance(resume, str | PathLike) else None)


def why_not(source: Path) -> str:
    """Why another process could not resume the upload of this path; "" if it could."""
    if not places.is_regular(source):
        return "It can be read only once"
    if not os.access(source.parent, os.W_OK | os.X_OK):
        return "Nothing can be kept in its folder"
    return ""


def new_id() -> str:
    """A request_id that nobody has used."""
    return str(uuid.uuid4())
