"""Where the listener for those who run the server is: a port, or a socket in a folder."""

import os
import secrets
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from conexiones.transport.process.address import Address
from conexiones.transport.process.start_error import StartError, why

_UNIX = "unix:"


@dataclass(frozen=True, slots=True)
class Place:
    """One of `address` and `path` is there."""

    address: Address | None = None
    path: Path | None = None

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Reads HOST:PORT or unix:PATH. Raises ValueError, whose text says what is wrong."""
        if not text.startswith(_UNIX):
            return cls(address=Address.parse(text))
        path = text.removeprefix(_UNIX)
        if not path or "\0" in path:
            raise ValueError(
                f"The address {text!r} has no path: give one such as unix:/run/conexiones/admin."
            )
        return cls(path=Path(path).expanduser().absolute())

    def __str__(self) -> str:
        return f"{_UNIX}{self.path}" if self.path else str(self.address)

    @property
    def is_private(self) -> bool:
        """Whether only this machine reaches it."""
        return self.address is None or self.address.is_loopback

    def listen(self) -> "Listening":
        """Raises StartError."""
        try:
            if self.path:
                return _at_path(self.path)
            return _at_address(self.address or Address("127.0.0.1", 0))
        except OSError as error:
            raise StartError(f"Cannot listen on {self}: {why(error)}.") from None


class Listening:
    """A socket that listens. `place` has the port that was taken."""

    def __init__(self, listener: socket.socket, place: Place) -> None:
        self.socket = listener
        self.place = place
        self._file = _identity(place.path) if place.path else None

    def close(self) -> None:
        """Ends it. The socket's file is removed, unless it is another server's by now."""
        self.socket.close()
        if self.place.path and self._file and _identity(self.place.path) == self._file:
            self.place.path.unlink(missing_ok=True)


def _at_address(address: Address) -> Listening:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address.host, address.port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return Listening(listener, Place(address=Address(address.host, listener.getsockname()[1])))


def _at_path(path: Path) -> Listening:
    """Replaces the socket of a server that was killed, and no other. The new one has the mode 0600 and
    listens before it has its name, so that no other server takes it for one that was left."""
    left = _identity(path)
    if left and not stat.S_ISSOCK(path.lstat().st_mode):
        raise OSError(0, "there is a file that is no socket")
    if left and _is_served(path):
        raise OSError(98, "")
    draft = path.with_name(f".{secrets.token_hex(4)}")
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(draft))
        draft.chmod(0o600)
        listener.listen()
        if left and _identity(path) == left:
            path.unlink()
        with suppress(FileExistsError):
            os.link(draft, path)
            return Listening(listener, Place(path=path))
        raise OSError(98, "")
    except OSError:
        listener.close()
        raise
    finally:
        draft.unlink(missing_ok=True)


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        try:
            client.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except TimeoutError:
            return True  # so many wait for it already
        return True


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file it is; None if there is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
