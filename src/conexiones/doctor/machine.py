"""Checks that ask Linux itself: the kind of a file system, and which program listens on a port."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from conexiones.doctor.findings import Finding

NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "afs", "ceph", "fuse.sshfs", "fuse.s3fs"})
"""File systems over a network, on which SQLite's WAL does not work."""
VOLATILE = {
    "tmpfs": "It is memory: all is gone at the next reboot. Give a --data-dir on a disk.",
    "ramfs": "It is memory: all is gone at the next reboot. Give a --data-dir on a disk.",
    "overlay": "It is a container's own layer, gone with the container: mount a volume for --data-dir.",
}
"""File systems whose files do not outlive the machine or the container, and what to do about it."""


def file_system(folder: Path) -> str:
    """The kind of file system of an existing folder, from /proc/self/mountinfo (see proc(5))."""
    kind, longest = "an unknown file system", -1
    with suppress(OSError):
        place = folder.resolve()
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            left, _, right = line.partition(" - ")
            mount = Path(left.split()[4].encode().decode("unicode_escape"))
            # Of two mounts at the same path, the later one is on top.
            if place.is_relative_to(mount) and len(mount.parts) >= longest:
                kind, longest = right.split()[0], len(mount.parts)
    return kind


def writable(folder: Path) -> bool:
    """Whether a file can be written there and made durable."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"?")
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        return False
    return True


def port(text: str) -> Finding:
    """Whether a server could listen at HOST:PORT, or which program already does."""
    from conexiones.transport.process.address import Address

    if "," in text:  # the variable is that of clients, too
        return Finding(
            "port",
            "warn",
            "CONEXIONES_ADDRESS names several servers, as clients take them: no port was looked at",
            "Give a server that is started here an --address of its own.",
        )
    try:
        address = Address.parse(text)
    except ValueError as error:
        return Finding("port", "FAIL", str(error), "Give --address as HOST:PORT.")
    try:
        address.probe()
    except PermissionError:
        return Finding(
            "port", "FAIL", f"{address} is for root alone", "Give --address with a port from 1024 on."
        )
    except OSError as error:
        if error.errno != 98:  # EADDRINUSE
            return Finding(
                "port",
                "FAIL",
                f"{address} cannot be listened on: {error.strerror}",
                "Give --address with an address of this machine.",
            )
        who = _listener(address.port)
        ours = "conexiones" in who
        return Finding(
            "port",
            "ok" if ours else "FAIL",
            f"{address} is taken by {who or 'a program of another user'}",
            "" if ours else "End that program, or give another --address.",
        )
    return Finding("port", "ok", f"{address} is free")


def _target(link: Path) -> str:
    """What a descriptor is; "" if it was closed since it was listed."""
    try:
        return str(link.readlink())
    except OSError:
        return ""


def _listener(port: int) -> str:
    """The program that listens on a TCP port; "" if this user may not see it."""
    sockets = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                cells = line.split()
                # 0A is LISTEN (include/net/tcp_states.h).
                if cells[3] == "0A" and int(cells[1].rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{cells[9]}]")
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if any(_target(fd) in sockets for fd in (process / "fd").iterdir()):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                name = (
                    "a conexiones server"
                    if "conexiones" in command
                    else (process / "comm").read_text().strip()
                )
                return f"{name} (process {process.name})"
    return ""
