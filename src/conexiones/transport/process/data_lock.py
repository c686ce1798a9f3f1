"""The lock on the data folder."""

import fcntl
import os
from contextlib import ExitStack, suppress
from pathlib import Path

from conexiones.private_folder import PREFIX, remove_left
from conexiones.transport.process.start_error import StartError, why


class DataLock:
    """The data folder, taken by one server at a time: by a lock on its file `lock` and, as people remove such
    files, by one on the folder itself. `number` is the descriptor of the file, and `numbers` are those of
    both.

    The lock's file names the server's private folder (private_folder.py). If the server is killed, the next
    one on the same data removes that folder even if it has another place for temporary files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> "DataLock":
        with ExitStack() as taken:
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self.number = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
                taken.callback(os.close, self.number)
                folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
                taken.callback(os.close, folder)
            except OSError as error:
                raise StartError(f"Cannot use the data folder {self._folder}: {why(error)}.") from None
            try:
                fcntl.flock(self.number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _lock_too(folder)
            except BlockingIOError:
                raise StartError(f"The data folder {self._folder} is in use by another server.") from None
            except OSError as error:
                raise StartError(f"Cannot lock the data folder {self._folder}: {why(error)}.") from None
            self.numbers = self.number, folder
            taken.pop_all()
        return self

    def sweep(self, private: Path) -> None:
        """Removes the private folder of the last server, if it is still there, and notes that of this one. In
        a copy of a data folder, it is that of a server that may run."""
        left = Path(os.pread(self.number, 4096, 0).decode(errors="replace"))
        if left.name.startswith(PREFIX):
            remove_left(left)
        self._note(str(private))

    def _note(self, text: str) -> None:
        with suppress(OSError):  # a disk that is full or fails is no reason not to start, nor not to end
            os.ftruncate(self.number, 0)
            os.pwrite(self.number, text.encode(), 0)

    def __exit__(self, *_: object) -> None:
        self._note("")
        for number in self.numbers:
            os.close(number)


def _lock_too(folder: int) -> None:
    """Raises BlockingIOError. Where folders cannot be locked, the file alone has to do."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return
