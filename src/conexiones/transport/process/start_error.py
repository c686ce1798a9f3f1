"""Why a server cannot start, in words for its user."""

import os

from conexiones.errors import ConexionesError


class StartError(Exception):
    """The server cannot start: one sentence that says why and what to do."""


def why(error: OSError) -> str:
    """What the operating system says, in words for the user."""
    words = {
        98: "another server listens there",
        13: "permission denied",
        99: "no such address on this machine",
    }
    return words.get(error.errno or 0, (error.strerror or str(error) or "unknown").lower())


def sentence_of(error: Exception) -> str:
    """What the operator can do about an error that keeps the application from starting; empty if only its
    traceback says something."""
    if isinstance(error, ValueError):
        return str(error)
    cause = error.__cause__
    if isinstance(error, ConexionesError) and isinstance(cause, OSError) and cause.filename:
        return f"{error} {os.fsdecode(cause.filename)}: {why(cause)}."
    return ""
