"""Which servers of this user run on this machine, so that the command line finds the administrator's token of
the one that it calls.

A server notes its data folder in the state folder of its user, under its address, and its address in its
private folder, which the lock on the data folder names. A token is given only to a server that certainly runs
at that address: another program that has taken the port since gets none.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from conexiones.addresses import loopback, several, split

ADMIN_TOKEN = "admin-token"  # noqa: S105 (the name of a file)
"""The file in the data folder that has the first token."""

_LOCK, _PRIVATE_LOCK = "lock", "private.lock"
"""In the data folder, the file that names the private folder; in that, the one that the server has locked."""
_ADDRESS = "address"
_PREFIX = "conexiones-"


@contextmanager
def noted(
    address: str, *, data_dir: Path, private: Path, environ: Mapping[str, str] = os.environ
) -> Iterator[None]:
    """Notes a server while it has its port: to be left before that is closed, since others can take it then.
    Where a note cannot be written, the server is not noted."""
    with suppress(OSError):
        (private / _ADDRESS).write_text(address)
    note = None
    with suppress(OSError):
        note = _note(address, data_dir, environ)
    try:
        yield
    finally:
        with suppress(OSError):
            (private / _ADDRESS).unlink(missing_ok=True)
        with suppress(OSError):
            if note and _read(note) == str(data_dir):
                note.unlink()


def _note(address: str, data_dir: Path, environ: Mapping[str, str]) -> Path | None:
    """Raises OSError."""
    folder = _notes(environ)
    if folder is None:
        return None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in folder.iterdir():
        if address_of(Path(_read(left))) is None:  # its server was killed
            left.unlink(missing_ok=True)
    descriptor, draft = tempfile.mkstemp(prefix=".", dir=folder)  # of mode 0600
    with os.fdopen(descriptor, "w") as file:
        file.write(str(data_dir))
    return Path(draft).replace(folder / address)


def admin_token(
    address: str, folders: Sequence[Path] = (), environ: Mapping[str, str] = os.environ
) -> tuple[str, Path] | None:
    """The exact address of the server of this user that listens at this address of the machine itself, and
    the file with its first token; None if there is none, or if several addresses are given. `folders` may be
    data folders of servers that could not be noted. Raises ValueError for an address that is none."""
    if len(several(address)) > 1:
        return None
    hosts, port = loopback(address), split(address)[1]
    if not hosts:
        return None
    notes = _notes(environ)
    noted = [Path(_read(note)) for note in sorted(notes.glob(f"*:{port}"))] if notes else []
    for folder in (*noted, *folders):
        served = address_of(folder)
        if served is None or served[1] != port or not os.access(folder / ADMIN_TOKEN, os.R_OK):
            continue
        at = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(served[0], served[0])  # noqa: S104 (compared with)
        if at in hosts:
            return (f"[{at}]:{port}" if ":" in at else f"{at}:{port}"), folder / ADMIN_TOKEN
    return None


def address_of(data_dir: Path) -> tuple[str, int] | None:
    """Where the server listens that has this data folder now; None if no server has, or one of somebody
    else."""
    private = Path(_read(data_dir / _LOCK))
    if not private.name.startswith(_PREFIX) or not _is_locked(private / _PRIVATE_LOCK):
        return None
    try:
        return split(_read(private / _ADDRESS))
    except ValueError:
        return None


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _notes(environ: Mapping[str, str]) -> Path | None:
    state, home = environ.get("XDG_STATE_HOME", ""), environ.get("HOME", "")
    if state.startswith("/"):
        return Path(state, "conexiones", "servers")
    return Path(home, ".local", "state", "conexiones", "servers") if home.startswith("/") else None


def _read(path: Path) -> str:
    """The text of a small file; empty if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except (OSError, ValueError):
        return ""
