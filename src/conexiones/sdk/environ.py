"""The options of a client that the environment has."""

from collections.abc import Mapping
from math import inf
from typing import Any

from conexiones.sdk.logins import Logins

ADDRESS = "localhost:50051"
"""The server that is meant where none is named."""


def options_from(environ: Mapping[str, str]) -> dict[str, Any]:
    """For a client's constructor. Raises ValueError for a timeout that is no number of seconds."""
    found: dict[str, Any] = {
        name: environ[f"CONEXIONES_{name.upper()}"]
        for name in ("address", "ca", "cert", "key")
        if environ.get(f"CONEXIONES_{name.upper()}")
    }
    for name in ("tls", "insecure_token"):
        if environ.get(f"CONEXIONES_{name.upper()}", "").lower() in {"1", "true", "yes", "on"}:
            found[name] = True
    if seconds := environ.get("CONEXIONES_TIMEOUT"):
        found["timeout"] = _seconds(seconds)
    return found | token_from(environ, found.get("address", ADDRESS))


def token_from(environ: Mapping[str, str], address: str) -> dict[str, Any]:
    """The option with the token of the environment, or else with the one kept for that server; empty if there
    is none. Raises ValueError for an address that is none."""
    if token := environ.get("CONEXIONES_TOKEN"):
        return {"token": token}
    if path := environ.get("CONEXIONES_TOKEN_FILE"):
        return {"token_file": path}
    logins = Logins(environ)
    path_kept = logins.path(address)
    return {"token_file": path_kept} if path_kept and path_kept.is_file() else {}


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < inf:
        raise ValueError("CONEXIONES_TIMEOUT is a number of seconds.")
    return seconds
