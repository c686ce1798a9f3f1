"""Where a command's token comes from."""

import errno
import getpass
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conexiones import local_servers
from conexiones.settings import table, variable

if TYPE_CHECKING:
    from conexiones.sdk.credentials import Secret

STANDARD_INPUT = "-"
_MAX_LINE = 64 << 10
_SOURCE = "conexiones.token"
"""The key in click's context."""


def source() -> str:
    """What is said of the token if the server does not take it; empty if there is none."""
    context = click.get_current_context(silent=True)
    return context.meta.get(_SOURCE, "") if context else ""


def options(
    address: str, token_file: str | None, *, encrypted: bool, certified: bool = False
) -> tuple[str, dict[str, Any]]:
    """The address to call, and the options of a client for the token: that of --token-file, of the
    environment, of `conexiones login`, or of a server of this user at that address of this machine. Who shows
    a certificate is not made somebody else by the last of these.

    Raises OSError and ValueError; TokenMistyped if what is typed is no token.
    """
    from conexiones.sdk.environ import token_from

    if token_file == STANDARD_INPUT:
        return address, {"token": given(token_file).reveal()}
    if token_file is not None:
        _note(token_file)
        return address, _of_file(token_file)
    if found := token_from(os.environ, address):
        named = next((name for name in ("TOKEN", "TOKEN_FILE") if os.environ.get(f"CONEXIONES_{name}")), "")
        _note(f"CONEXIONES_{named}" if named else f"conexiones login {address}")
        return address, _of_file(found["token_file"]) if "token_file" in found else found
    if not certified and (local := local_servers.admin_token(address, _data_folders())):
        exact, path = local
        _note(str(path))
        # Without TLS, nothing but the exact address says that it is this server which answers: who else is on
        # this machine may listen at the other address of "localhost".
        return (address if encrypted else exact), {"token_file": path}
    _note("")
    return address, {}


def _of_file(path: str | Path) -> dict[str, Any]:
    """The option of a client for a file with a token. Raises OSError if it cannot be read, once for a command
    that makes many calls."""
    found = Path(path).stat()
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not os.access(path, os.R_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    return {"token_file": path}


def _note(source: str) -> None:
    click.get_current_context().meta[_SOURCE] = source


def given(token_file: str) -> "Secret":
    """The token in a file, or that of standard input for "-". Raises OSError, TokenMistyped."""
    from conexiones.sdk.credentials import Secret, read

    _note("standard input" if token_file == STANDARD_INPUT else token_file)
    return Secret(_typed()) if token_file == STANDARD_INPUT else read(token_file)


def _typed() -> str:
    """The token that is typed, without being shown, or the first line of standard input; what follows is left
    there."""
    if sys.stdin is not None and sys.stdin.isatty():
        try:
            return getpass.getpass("Token: ", sys.stderr)
        except EOFError:
            return ""
    line = bytearray()
    if sys.stdin is not None:
        while len(line) < _MAX_LINE and (one := os.read(sys.stdin.fileno(), 1)) not in (b"", b"\n"):
            line += one
    return line.decode("ascii", errors="replace")


def _data_folders() -> list[Path]:
    """The default data folder, and that of the environment."""
    row = next(row for row in table() if row.name == "data_dir")
    texts = (row.metadata["text"], os.environ.get(variable(row), ""))
    try:
        return [row.metadata["read"](text) for text in texts if text]
    except RuntimeError:  # there is no home
        return []
