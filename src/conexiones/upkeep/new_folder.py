"""A data folder that is being made: by `conexiones restore`, or by `conexiones migrate`.

It has to be new or empty. While it is being made it has a file, the mark, that says of what, and no catalog;
no server starts over it. The catalog gets its name last. A run that was killed is gone on with by another one
of the same.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from conexiones.adapters.catalog.sqlite.schema import FILE as CATALOG
from conexiones.adapters.system.disk import sync_folder, write_durably
from conexiones.upkeep.problem import Problem


class NewFolder:
    """A context in which the folder is locked."""

    def __init__(self, data_dir: Path, mark: str, said: Mapping[str, str], *, whose: str) -> None:
        """`mark` is the name of the mark, and `said` what it says. `whose` is what a part of something else
        would be of."""
        self.data_dir = data_dir
        self._mark = data_dir / mark
        self._said = dict(said)
        self._whose = whose
        self.prepared = data_dir / f"{CATALOG}.{Path(mark).stem}"
        """Where the catalog is made."""

    def __enter__(self) -> "NewFolder":
        """Takes the folder. Raises Problem and OSError."""
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.look()
        self._lock = os.open(self.data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Problem(
                    f"{self.data_dir} is in use by a server, or by another run of this command."
                ) from None
            self.look()  # another run may have ended just now
            new = self._new_mark()
            write_durably(new, json.dumps(self._said).encode())
            new.replace(self._mark)
            for folder in (self.data_dir, self.data_dir.absolute().parent):
                sync_folder(folder)
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)

    def look(self) -> None:
        """Raises Problem if there is something else in the folder."""
        if not self.data_dir.exists():
            return
        if not {path.name for path in self.data_dir.iterdir()} - {
            "lost+found",
            "lock",
            self._new_mark().name,
        }:
            return
        # A run that was killed at its very end has only the catalog left to name.
        ours = self._mark.exists() or self.prepared.exists()
        if (self.data_dir / CATALOG).exists() or not ours:
            raise Problem(f"{self.data_dir} is not empty: give a new folder, or an empty one.")
        if self._mark.exists() and _read(self._mark) != self._said:
            raise Problem(f"{self.data_dir} has a part of {self._whose}: remove it, or give another folder.")

    def complete(self) -> None:
        """Gives the catalog its name. It is durable already."""
        sync_folder(self.data_dir)
        self._mark.unlink()
        sync_folder(self.data_dir)
        self.prepared.replace(self.data_dir / CATALOG)
        sync_folder(self.data_dir)

    def _new_mark(self) -> Path:
        return self._mark.with_name(f"{self._mark.name}.new")


def _read(mark: Path) -> object:
    try:
        return json.loads(mark.read_bytes())
    except ValueError:
        return None
