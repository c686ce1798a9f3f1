"""A server that a program in the foreground of a terminal runs, and ends when it ends."""

import signal
import sys
from pathlib import Path

from conexiones.testing import Server


def started(data_dir: Path, address: str) -> Server:
    """A server that has started. Ctrl-C does not come to it: whoever has it stops it. Raises ServerError."""
    # Closing the terminal (SIGHUP) or killing this program (SIGTERM) also ends the server.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    # Ctrl-C must not come to the server twice, from the terminal and from here: the second ends it at once.
    server = Server(data_dir, {"address": address}, own_group=True)
    server.start()
    return server
