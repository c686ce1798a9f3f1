"""Runs a program confined as a unit of systemd says, where there is no systemd that would do it.

    python -m tests.deploy.confined UNIT FOLDER PROGRAM…

FOLDER is all of the file system that the program may write to. Needs root, which the program keeps, without
any capability. Memory cannot be both written to and executed, and system calls are filtered. What else the
unit says is left to `systemd-analyze security`.
"""

import ctypes
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_BOUNDING_SET_DROP, _NO_NEW_PRIVS, _MEMORY = 24, 38, 65
_REFUSE_EXECUTABLE_GAIN = 1
_CAPABILITIES = 41
_NEW_MOUNTS = 0x00020000
_ALLOW, _EPERM = 0x7FFF0000, 0x00050000 | errno.EPERM


def service(unit: Path) -> dict[str, list[str]]:
    """The settings in the section [Service], each with the values of its lines."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in unit.read_text().splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def calls(name: str) -> Iterator[str]:
    """The system calls of a group of systemd, such as @file-system, or the one of that name."""
    if not name.startswith("@"):
        yield name
        return
    command = ["systemd-analyze", "syscall-filter", name]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for line in said.splitlines()[1:]:
        if line.strip() and not line.strip().startswith("#"):
            yield from calls(line.strip())


def allowed(lines: list[str]) -> set[str]:
    """What SystemCallFilter= leaves, whose lines take away if they begin with ~."""
    found = set(calls("@default"))
    for line in lines:
        names = {each for name in line.removeprefix("~").split() for each in calls(name)}
        found = found - names if line.startswith("~") else found | names
    return found


def confine(settings: dict[str, list[str]], folder: str) -> None:
    """Confines this process and all that it starts. Raises RuntimeError where the kernel does not."""
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.unshare(_NEW_MOUNTS))
    for mount in (["--make-rprivate", "/"], ["--bind", folder, folder], ["-o", "remount,ro,bind", "/"]):
        subprocess.run(["mount", *mount], check=True)
    if settings["CapabilityBoundingSet"] == [""]:
        for capability in range(_CAPABILITIES):
            _check(libc.prctl(_BOUNDING_SET_DROP, capability, 0, 0, 0))
    if settings["NoNewPrivileges"] == ["yes"]:
        _check(libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0))
    if settings["MemoryDenyWriteExecute"] == ["yes"]:
        _check(libc.prctl(_MEMORY, _REFUSE_EXECUTABLE_GAIN, 0, 0, 0))
    _filter(allowed(settings["SystemCallFilter"]))


def _filter(names: set[str]) -> None:
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(_EPERM))
    for name in names:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # else it is one of another machine
            _check(library.seccomp_rule_add_array(context, _ALLOW, number, 0, None))
    _check(library.seccomp_load(context))


def _check(status: int) -> None:
    if status:
        raise RuntimeError(os.strerror(ctypes.get_errno()))


def main() -> None:
    unit, folder, *program = sys.argv[1:]
    confine(service(Path(unit)), folder)
    os.execv(program[0], program)


if __name__ == "__main__":
    main()
