"""The file with the first token of the administrator, in the data folder."""

import os
from pathlib import Path

from conexiones.adapters.system.disk import sync_file, sync_folder
from conexiones.local_servers import ADMIN_TOKEN as NAME


def read(folder: Path) -> str:
    """The token in the file, empty if there is no file. Raises OSError."""
    try:
        return (folder / NAME).read_text("ascii", errors="replace").strip()
    except FileNotFoundError:
        return ""


def write(folder: Path, token: str) -> None:
    """Writes the file durably, as a whole, for its owner's eyes only. Raises OSError."""
    unfinished = folder / f"{NAME}.unfinished"
    unfinished.unlink(missing_ok=True)
    with os.fdopen(
        os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w"
    ) as file:
        file.write(f"{token}\n")
    sync_file(unfinished)
    unfinished.replace(folder / NAME)
    sync_folder(folder)
