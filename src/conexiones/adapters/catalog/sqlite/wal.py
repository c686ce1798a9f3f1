"""Looks for damage in the WAL of a catalog (sqlite.org/fileformat2.html, section 4).

When a server that was killed starts again, SQLite takes from its WAL what is whole from the beginning on. A
damaged frame ends that, and whatever was committed behind it is lost without a word, and its images with it,
as the start removes what no row refers to. So it is looked for before.
"""

import struct
from array import array
from pathlib import Path
from typing import Literal

_HEAD = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_MAGIC = 0x377F0682
_BIG_ENDIAN = 1
_MASK = 0xFFFFFFFF
_SMALLEST_PAGE = 512

LARGEST = 128 << 20
"""Bytes that are looked at: what is behind them takes too long, a second for every 10 MB."""

ATTEMPTS = 3
"""The server may begin the WAL anew while it is read."""

Verdict = Literal["whole", "damaged", "torn"]


def look(path: Path) -> tuple[Verdict, int]:
    """Whether a WAL is whole; if not, the offset from which on it is not.

    "damaged": what is behind that place shows that it was committed, or the head is not one. "torn": the
    damaged frame is of the last commit, which may have been cut off and never acknowledged: the frames of a
    commit come to the disk in any order. Raises OSError.
    """
    found: tuple[Verdict, int] = ("whole", 0)
    for _ in range(ATTEMPTS):
        found = _look(path)
        if found[0] == "whole":
            break
    return found


def _look(path: Path) -> tuple[Verdict, int]:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST)
    except FileNotFoundError:
        return "whole", 0
    if not data:
        return "whole", 0
    if len(data) < _HEAD.size:
        return "damaged", 0
    magic, _, page, _, *rest = _HEAD.unpack_from(data)
    salts, sums = tuple(rest[:2]), (rest[2], rest[3])
    if magic & ~_BIG_ENDIAN != _MAGIC or _sum(data[: _HEAD.size - 8], (0, 0), magic) != sums:
        return "damaged", 0
    size = _FRAME.size + page
    for at in range(_HEAD.size, len(data) - size + 1, size):
        _, _, *found = _FRAME.unpack_from(data, at)
        body = data[at : at + 8] + data[at + _FRAME.size : at + size]
        sums = _sum(body, sums, magic)
        if tuple(found[:2]) == salts and tuple(found[2:]) == sums:
            continue
        return _of_rest(data, at, size, salts), at
    return "whole", 0


def _of_rest(data: bytes, at: int, size: int, salts: tuple[int, ...]) -> Verdict:
    """What the frames from `at` on are, of which the first is not whole. Its commit was durable if another
    one was begun behind it. The last frame of a commit has the size of the database, which is 0 in all
    others. Frames with other salts are of an earlier log, and mean nothing."""
    verdict: Verdict = "whole"
    ended = False
    for one in range(at, len(data) - size + 1, size):
        _, pages, *found = _FRAME.unpack_from(data, one)
        if tuple(found[:2]) == salts:
            if ended:
                return "damaged"
            verdict, ended = "torn", pages != 0
    return verdict


def check_log(path: Path) -> None:
    """ValueError, whose one line says what to do, if a server that starts would lose what was committed to
    the catalog at `path`: SQLite takes from a damaged WAL what is before the damage. Raises OSError."""
    log = path.with_name(f"{path.name}-wal")
    verdict, offset = look(log)
    # A log without room for a frame is one that was being begun.
    if verdict == "damaged" and log.stat().st_size > _HEAD.size + _FRAME.size + _SMALLEST_PAGE:
        raise ValueError(
            f"{log} is damaged, and what was stored last would be lost: restore a backup. To do without that,"
            f" copy the folder, and cut the file off before the damage (truncate -s {offset})."
        )


def _sum(data: bytes, before: tuple[int, int], magic: int) -> tuple[int, int]:
    words = array("I", data)
    if bool(magic & _BIG_ENDIAN) == (array("H", b"\1\0")[0] == 1):  # the machine's order is the other one
        words.byteswap()
    one, two = before
    numbers = iter(words)
    for first, second in zip(numbers, numbers, strict=True):
        one = (one + first + two) & _MASK
        two = (two + second + one) & _MASK
    return one, two
