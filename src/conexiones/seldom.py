"""Lines of the log that clients can cause: some are written, and the others are counted, so that nobody fills
the disk with them."""

import logging
import threading
import time

LINES, LINES_AT_ONCE = 1.0, 100.0
"""Lines of a kind in a second, and at once."""


class Seldom:
    """Lines of one kind. Used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._level = LINES_AT_ONCE
        self._time = time.monotonic()
        self._left_out = 0

    def take(self) -> int | None:
        """None if the line is to be left out; otherwise, how many were since the last one."""
        with self._lock:
            now = time.monotonic()
            self._level = min(LINES_AT_ONCE, self._level + (now - self._time) * LINES)
            self._time = now
            if self._level < 1:
                self._left_out += 1
                return None
            self._level -= 1
            left_out, self._left_out = self._left_out, 0
            return left_out

    def log(self, log: logging.Logger, level: int, text: str, *given: object) -> None:
        """Writes a line, unless it is to be left out."""
        if (left_out := self.take()) is not None:
            log.log(level, text + (f" ({left_out} others are left out)" if left_out else ""), *given)
