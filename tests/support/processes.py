"""The processes of a server: which they are, and what they have taken so far."""

import re
from collections.abc import Iterable
from pathlib import Path

import psutil

from bench.processes import Meter, family

__all__ = ["Meter", "busy_seconds", "decoders", "envoy", "family", "peak", "writers"]


def envoy(pid: int) -> psutil.Process:
    """The one of a server's processes that has the connections, and Python inside."""
    (found,) = (process for process in family(pid) if "envoy" in process.name())
    return found


def writers(pid: int) -> list[psutil.Process]:
    """The processes below it that write a catalog."""
    return _running(pid, "adapters.writer.group_commit")


def decoders(pid: int) -> list[psutil.Process]:
    """The processes below it that decode images."""
    return _running(pid, "decoder_worker")


def _running(pid: int, program: str) -> list[psutil.Process]:
    return [process for process in family(pid) if program in " ".join(process.cmdline())]


def busy_seconds(processes: Iterable[psutil.Process]) -> float:
    """The CPU seconds that they have used, in user code and in the kernel."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def peak(process: psutil.Process) -> int:
    """The most memory that the process ever had resident, in bytes (VmHWM)."""
    (kib,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    return int(kib) * 1024
