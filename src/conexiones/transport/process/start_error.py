"""Why a server cannot start, in words for its user."""


class StartError(Exception):
    """The server cannot start: one sentence that says why and what to do."""


def why(error: OSError) -> str:
    """What the operating system says, in words for the user."""
    words = {
        98: "another server listens there",
        13: "permission denied",
        99: "no such address on this machine",
    }
    return words.get(error.errno or 0, (error.strerror or "unknown").lower())
