"""Inputs that once showed a fault: reduced, kept as files beside this module, and replayed by
test_cases.py."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.target import Fault, Judge

FOLDER = Path(__file__).parent / "cases"

REDUCING_SECONDS = 20.0
"""How long an input is reduced at most."""


def kept(target: str) -> Iterator[Path]:
    """The files of a target."""
    folder = FOLDER / target
    if folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if path.suffix == ".bin")


def is_kept(target: str, fault: Fault) -> bool:
    """Whether an input with the same fault is kept already."""
    return any(path.name.startswith(f"{fault.name}-") for path in kept(target))


def keep(target: str, fault: Fault, data: bytes) -> Path:
    """Keeps an input."""
    folder = FOLDER / target
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{fault.name}-{hashlib.sha256(data).hexdigest()[:8]}.bin"
    path.write_bytes(data)
    return path


def reduced(data: bytes, fault: Fault, judge: Judge) -> bytes:
    """A shorter input that shows the same fault: parts are left out as long as it does (delta debugging)."""
    end = time.monotonic() + REDUCING_SECONDS

    def shows(candidate: bytes) -> bool:
        found = judge(candidate)
        return found is not None and found.name == fault.name

    size = max(1, len(data) // 2)
    while size and time.monotonic() < end:
        at, shorter = 0, False
        while at < len(data) and time.monotonic() < end:
            candidate = data[:at] + data[at + size :]
            if shows(candidate):
                data, shorter = candidate, True
            else:
                at += size
        if not shorter:
            size //= 2
    return data
