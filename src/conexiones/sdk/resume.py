"""The state file of an upload: how another process goes on with it.

It holds the `request_id`, and no more is needed: CreateUpload with it gives the same upload again, with
the size that is durable, or the image if it was finished meanwhile.
"""

import hashlib
import json
import os
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

SUFFIX = ".conexiones-upload"


@dataclass(frozen=True, slots=True)
class Begun:
    """The upload of a file as it was then: another size or time of change, and it is another upload."""

    request_id: str
    address: str
    user: str
    path: str
    size: int
    mtime_ns: int


class StateFile:
    """Written before the upload is created, removed when it has ended."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, source: Path, folder: Path | None) -> "StateFile":
        """Beside the source, or in `folder` under a name that tells sources of one name apart."""
        if folder is None:
            return cls(source.with_name(source.name + SUFFIX))
        digest = hashlib.sha256(str(source.absolute()).encode(errors="surrogateescape")).hexdigest()
        return cls(folder / f"{source.name}.{digest[:12]}{SUFFIX}")

    def begin(self, source: Path, *, address: str, user: str) -> Begun:
        """What was begun, if it was the same; otherwise something new, remembered from now on."""
        facts = source.stat()
        new = Begun(
            str(uuid.uuid4()), address, user, str(source.absolute()), facts.st_size, facts.st_mtime_ns
        )
        old = self._read()
        if old is not None and {**asdict(old), "request_id": new.request_id} == asdict(new):
            return old
        self._write(new)
        return new

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
