"""What the server tells the service manager that started it, such as systemd: see sd_notify(3)."""

import logging
import os
import socket
import time
from collections.abc import Mapping

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")

log = logging.getLogger("conexiones.supervisor")


class ServiceManager:
    """Whoever listens at NOTIFY_SOCKET. Without one, nothing is told."""

    def __init__(self, environ: Mapping[str, str] = os.environ, *, pid: int | None = None) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):  # in the abstract namespace
            self._address = "\0" + self._address[1:]
        self.watchdog_seconds = _watchdog(environ, pid or os.getpid()) if self._address else None
        """The manager restarts a server that has not said for so long that it is alive; None if it does not
        watch."""

    @property
    def is_there(self) -> bool:
        return bool(self._address)

    def ready(self, status: str) -> None:
        self._say(READY="1", STATUS=status)

    def reloading(self) -> None:
        """Files are read again; `ready` comes afterwards."""
        self._say(RELOADING="1", MONOTONIC_USEC=str(time.monotonic_ns() // 1000))

    def stopping(self, seconds: float, status: str) -> None:
        """The server ends, in about so many seconds at most."""
        self._say(STOPPING="1", STATUS=status, EXTEND_TIMEOUT_USEC=str(round(seconds * 1e6)))

    def alive(self) -> None:
        self._say(WATCHDOG="1")

    def _say(self, **fields: str) -> None:
        if not self._address:
            return
        message = "\n".join(f"{name}={value}" for name, value in fields.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as end:
                end.setblocking(False)  # a manager that does not read stops nobody
                end.sendto(message.encode(), self._address)
        except OSError as error:
            log.warning("The service manager was not told %s: %s", next(iter(fields)), error.strerror)


def _watchdog(environ: Mapping[str, str], pid: int) -> float | None:
    """The time of the watchdog in seconds, if it is for the process `pid`."""
    if environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    time = environ.get("WATCHDOG_USEC", "")
    return int(time) / 1e6 if time.isdecimal() and int(time) else None
