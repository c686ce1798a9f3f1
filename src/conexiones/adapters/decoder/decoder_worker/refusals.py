"""Why a task cannot be done with a file."""

import re

from . import Refusal

OUT_OF_MEMORY = re.compile(r"memory|alloc|no space", re.IGNORECASE)
UNSUPPORTED = re.compile(r"not supported|unsupported|not configured|plugin|not implemented", re.IGNORECASE)


class Refused(Exception):
    """The task cannot be done with this file. `detail` is for the log."""

    def __init__(self, cause: Refusal, detail: str) -> None:
        super().__init__(cause, detail)
        self.cause = cause
        self.detail = detail


def refusal(text: str) -> Refused:
    """The refusal of which a library's text speaks."""
    if OUT_OF_MEMORY.search(text):
        return Refused("MEMORY", text)
    return Refused("UNSUPPORTED" if UNSUPPORTED.search(text) else "CORRUPT", text)


def check_pixels(width: int, height: int, limit: int) -> None:
    """Raises Refused."""
    if width * height > limit:
        raise Refused("PIXELS", f"{width} × {height}")
