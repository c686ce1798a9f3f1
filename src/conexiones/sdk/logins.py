"""The tokens that `conexiones login` keeps, one for each server."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from conexiones.addresses import several, split
from conexiones.sdk.credentials import Secret, read

_FOLDER = "conexiones/tokens"


class Logins:
    """The files, of mode 0600, in a folder of mode 0700. They are named by the address of the server,
    or by those of several that are given together."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """`environ` says where the user's configuration is: XDG_CONFIG_HOME, or HOME."""
        base = environ.get("XDG_CONFIG_HOME", "")
        home = environ.get("HOME", "")
        folder = Path(base) if base.startswith("/") else Path(home, ".config") if home else None
        self._folder = folder / _FOLDER if folder else None

    def path(self, address: str) -> Path | None:
        """Where the token of a server is, or would be; None if there is no such place. Raises ValueError for
        an address that is none."""
        places = [split(one) for one in several(address)]
        names = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in places]
        return self._folder / quote(",".join(names).lower(), safe="[]:,") if self._folder else None

    def find(self, address: str) -> Secret | None:
        """Raises OSError, ValueError, and TokenMistyped if the file was changed."""
        path = self.path(address)
        try:
            return read(path) if path else None
        except FileNotFoundError:
            return None

    def keep(self, address: str, secret: Secret) -> Path:
        """Writes the token, as a whole, over one that was kept before. Raises OSError, ValueError."""
        path = self.path(address)
        if path is None:
            raise FileNotFoundError(2, "There is no place to keep a token: set HOME", "")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.chmod(0o700)
        descriptor, draft = tempfile.mkstemp(prefix=".", dir=path.parent)  # of mode 0600
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(f"{secret.reveal()}\n")
            Path(draft).replace(path)
        except BaseException:
            Path(draft).unlink()
            raise
        return path

    def forget(self, address: str) -> bool:
        """Whether there was a token, which there is no more. Raises OSError, ValueError."""
        path = self.path(address)
        try:
            if path:
                path.unlink()
        except FileNotFoundError:
            return False
        return path is not None
