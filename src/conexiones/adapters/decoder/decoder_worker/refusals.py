"""Why a task cannot be done with a file."""

import re

from . import Refusal

OUT_OF_MEMORY = re.compile(r"memory|alloc|no space", re.IGNORECASE)
# libheif also speaks of its "decoder plugin" where that fails at damaged data. A file without a primary item
# has a track of HEVC, which it decodes no more than other codecs. libjpeg says "Unsupported marker type" of
# what is no marker. libvips takes only tiles of a size that 16 divides.
UNSUPPORTED = re.compile(
    r"not supported|unsupported(?! marker)|not configured|loading plugin|invalid primary item|"
    r"not implemented|tile size out of range|not SGI-compressed",
    re.IGNORECASE,
)

# libheif's own limits. That of the size of an image follows from what the file says of itself.
LIMIT = re.compile(r"security limit", re.IGNORECASE)
CONTRADICTED_LIMIT = re.compile(r"security limit exceeded: image size", re.IGNORECASE)


class Refused(Exception):
    """The task cannot be done with this file. `detail` is for the log."""

    def __init__(self, cause: Refusal, detail: str) -> None:
        super().__init__(cause, detail)
        self.cause = cause
        self.detail = detail


def refusal(text: str) -> Refused:
    """The refusal of which a library's text speaks."""
    if LIMIT.search(text):
        return Refused("CORRUPT" if CONTRADICTED_LIMIT.search(text) else "UNSUPPORTED", text)
    if OUT_OF_MEMORY.search(text):
        return Refused("MEMORY", text)
    return Refused("UNSUPPORTED" if UNSUPPORTED.search(text) else "CORRUPT", text)


def check_pixels(width: int, height: int, limit: int) -> None:
    """Raises Refused."""
    if width * height > limit:
        raise Refused("PIXELS", f"{width} × {height}")
