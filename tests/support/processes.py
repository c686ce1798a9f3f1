"""The processes of a server: which they are, and what they have taken so far."""

import re
import resource
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from bench.processes import Meter, family
from tests.support.waiting import DEADLINE

__all__ = [
    "Meter",
    "busy_seconds",
    "decoders",
    "envoy",
    "family",
    "own_decoders",
    "own_writers",
    "own_zombies",
    "peak",
    "spent_seconds",
    "suspend",
    "writers",
]

_WRITER, _DECODER = "adapters.writer.group_commit", "decoder_worker"
"""What stands in the command lines of these processes."""


def envoy(pid: int) -> psutil.Process:
    """The one of a server's processes that has the connections, and Python inside."""
    (found,) = (process for process in family(pid) if "envoy" in _name(process))
    return found


def writers(pid: int) -> list[psutil.Process]:
    """The processes of a server that write a catalog."""
    return _running(family(pid), _WRITER)


def decoders(pid: int) -> list[psutil.Process]:
    """The processes of a server that decode images."""
    return _running(family(pid), _DECODER)


def own_writers() -> list[psutil.Process]:
    """The processes that this process has started to write a catalog. Those of a server that serves the tests
    meanwhile are none of them: they are its grandchildren."""
    return _running(psutil.Process().children(), _WRITER)


def own_decoders() -> list[psutil.Process]:
    """The same of decoders."""
    return _running(psutil.Process().children(), _DECODER)


def own_zombies() -> list[psutil.Process]:
    """The processes that this process has started, that have ended, and whose end nobody has asked for."""
    return [process for process in psutil.Process().children() if _status(process) == psutil.STATUS_ZOMBIE]


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def _status(process: psutil.Process) -> str:
    try:
        return process.status()
    except psutil.NoSuchProcess:
        return psutil.STATUS_DEAD


def _running(processes: Iterable[psutil.Process], program: str) -> list[psutil.Process]:
    return [process for process in processes if program in _command(process)]


def _command(process: psutil.Process) -> str:
    try:
        # A process has no command line for an instant when it starts, and for another one when it ends.
        while not (command := process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.001)
        return " ".join(command)
    except psutil.Error:  # it has ended
        return ""


def suspend(*processes: psutil.Process) -> None:
    """Stops processes, and returns when all their threads stand still. The signal alone takes effect when the
    kernel runs the thread that gets it: until then, on a busy machine, the others go on."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    limit = time.monotonic() + DEADLINE
    while not all(_stands_still(process) for process in processes):
        assert time.monotonic() < limit, processes
        time.sleep(0.001)


def _stands_still(process: psutil.Process) -> bool:
    for task in Path(f"/proc/{process.pid}/task").glob("*/stat"):
        with suppress(OSError):  # it has ended
            if task.read_text().rpartition(")")[2].split()[0] not in "TtZX":
                return False
    return True


def busy_seconds(processes: Iterable[psutil.Process]) -> float:
    """The CPU seconds that they have used, in user code and in the kernel."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def spent_seconds() -> float:
    """The CPU seconds of this process and of all that it started. Those of a process whose parent was killed
    before it are not known."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    for process in psutil.Process().children(recursive=True):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.Error:  # it has just ended
            continue
    return total


def peak(process: psutil.Process) -> int:
    """The most memory that the process ever had resident, in bytes (VmHWM)."""
    (kib,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    return int(kib) * 1024
