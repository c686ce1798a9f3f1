"""The processes of a server: which they are, and how much memory they take."""

import threading

import psutil

from conexiones.testing import Server


def family(pid: int) -> list[psutil.Process]:
    """A process and all below it."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def writers(pid: int) -> list[psutil.Process]:
    """The processes below it that write a catalog."""
    return [process for process in family(pid) if "writer.group_commit" in " ".join(process.cmdline())]


class Meter(threading.Thread):
    """The largest memory of a server's processes together, each shared page counted once (PSS), in bytes."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server
        self._ended = threading.Event()
        self.peak = 0

    def run(self) -> None:
        while not self._ended.wait(0.05):
            self._measure()

    def _measure(self) -> None:
        total = 0
        for process in family(self._server.pid):
            try:
                total += process.memory_full_info().pss
            except psutil.Error:
                continue
        self.peak = max(self.peak, total)

    def __enter__(self) -> "Meter":
        self._measure()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()
