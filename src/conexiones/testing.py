"""A real server for tests: on a free port, with an empty data folder of its own.

    from conexiones.testing import serve

    with serve() as server:
        channel = grpc.insecure_channel(server.address)

The server is the program that users run, in processes of its own; all of them have ended when the block ends.
They also end if this process dies, whatever kills it.
`samples()` and `hostile_samples()` return images to send to it.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from conexiones.local_servers import ADMIN_TOKEN
from conexiones.samples import Sample, hostile_samples, samples
from conexiones.settings import PREFIX, table, variable

if TYPE_CHECKING:
    from conexiones.sdk import Client

__all__ = ["Sample", "Server", "ServerError", "hostile_samples", "samples", "serve"]

LAST_LINES = 50
"""Lines of its output that an error has."""
START_SECONDS = 90.0
"""How long the server may take to become ready."""
STOP_SECONDS = 90.0
"""How long the server may take to end."""


# Ends the server when the process that started it is gone. It is a process of its own, since nothing of a
# killed process could act. Where there are descriptors of processes, these name them even if ids are reused.
_GUARD = """
import os, select, signal, sys, time

owner, server, grace = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
if hasattr(os, "pidfd_open"):
    theirs = os.pidfd_open(server)
    ended = select.poll()
    ended.register(theirs, select.POLLIN)
    try:
        ended.register(os.pidfd_open(owner), select.POLLIN)
        if os.getppid() == owner and theirs in dict(ended.poll()):
            sys.exit()
    except ProcessLookupError:
        pass  # it is gone already
    signal.pidfd_send_signal(theirs, signal.SIGTERM)
    select.select([theirs], [], [], grace)
    signal.pidfd_send_signal(theirs, signal.SIGKILL)
else:
    while os.getppid() == owner:
        time.sleep(0.1)
    os.kill(server, signal.SIGKILL)
"""
_GUARD_SECONDS = 2.0
"""How long a server whose owner is gone has to end by itself."""


class ServerError(Exception):
    """The server did not start. The text is what it said last."""


class Server:
    """A running server. It can be stopped, killed and started again, on the same port and with the same data.

    address: HOST:PORT. admin_address: where /metrics, /livez and /readyz are, with the setting of that name;
    otherwise "". data_dir: its data folder. log: all of its output so far. token: with the setting
    `auth="required"`, the first token, which may do everything; otherwise "".
    """

    def __init__(
        self,
        data_dir: Path,
        settings: dict[str, str],
        command: Sequence[str] = ("-m", "conexiones", "serve"),
        *,
        own_group: bool = False,
    ) -> None:
        """`own_group`: Ctrl-C in the terminal is for this process alone, which has to stop the server."""
        self.data_dir = data_dir
        self._process_group = 0 if own_group else None
        self._command = command
        self.address = ""
        self.admin_address = ""
        self.log = ""
        self._settings = {"address": "127.0.0.1:0", "data_dir": str(data_dir), **settings}
        self._process: subprocess.Popen[str]
        self._guard: subprocess.Popen[bytes]
        self._reader: threading.Thread
        self._known = threading.Event()
        self._listens = False

    @property
    def pid(self) -> int:
        """The id of the supervisor, which is the process that was started and the parent of all others."""
        return self._process.pid

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    @property
    def token(self) -> str:
        path = self.data_dir / ADMIN_TOKEN
        return path.read_text().strip() if path.exists() else ""

    def client(self, **options: Any) -> "Client":
        """A client of the server, with its token; `options` are those of `conexiones.Client`."""
        from conexiones.sdk import Client

        return Client(self.address, **{"token": self.token or None, **options})

    def start(self) -> None:
        """Starts the server and waits until it is ready. Raises ServerError, also if it was started before,
        and cannot be again."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        environ |= {variable(row): self._settings[row.name] for row in table() if row.name in self._settings}
        self._known.clear()
        self._listens = False
        before = len(self.log)
        self._process = subprocess.Popen(
            [sys.executable, *self._command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environ,
            process_group=self._process_group,
        )
        self._guard = subprocess.Popen(
            [
                sys.executable,
                "-I",
                "-S",
                "-c",
                _GUARD,
                *map(str, (os.getpid(), self._process.pid, _GUARD_SECONDS)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is not for it
        )
        self._reader = threading.Thread(target=self._read, name="conexiones-server-log", daemon=True)
        self._reader.start()
        if not self._known.wait(START_SECONDS) or not self._listens:
            self.kill()
            raise ServerError("".join(self.log[before:].splitlines(keepends=True)[-LAST_LINES:]))

    def stop(self, *, signal: int = signal.SIGTERM) -> int:
        """Asks the server to end, waits until it has, and returns the exit status."""
        self._process.send_signal(signal)
        return self.wait()

    def kill(self) -> None:
        """Kills the supervisor (SIGKILL), and waits until all processes have ended."""
        self._process.kill()
        self.wait()

    def wait(self, seconds: float | None = STOP_SECONDS) -> int:
        """Waits until the server has ended, and returns the exit status. Raises subprocess.TimeoutExpired."""
        status = self._process.wait(seconds)
        self._guard.kill()
        self._guard.wait()
        # The reader sees the end of the pipe when the last process that inherited it has ended.
        self._reader.join(STOP_SECONDS)
        if self._process.stdout:
            self._process.stdout.close()
        return status

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self.log += line
            if " listens on " in line:
                self.address = line.split(" listens on ")[1].split(" ")[0]
                # When it is started again, it gets the same port.
                self._settings["address"] = self.address
                if " and /readyz at " in line:
                    self.admin_address = line.rpartition(" and /readyz at ")[2].strip()
                    self._settings["admin_address"] = self.admin_address
                self._listens = True
                self._known.set()
        self._known.set()

    def __enter__(self) -> "Server":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.stop()


@contextmanager
def serve(data_dir: Path | None = None, **settings: object) -> Iterator[Server]:
    """Starts a server, by default on a free port and with an empty data folder that is removed at the end.

    `settings` are those of `conexiones serve` by name, as text, numbers or paths:
    `serve(max_pixels=1000, decode_memory="1GiB")`. Raises ServerError with the server's output if it does not
    start, and TypeError for an unknown setting, and for a value of another type.
    """
    unknown = settings.keys() - {row.name for row in table()}
    if unknown:
        raise TypeError(f"no such setting: {', '.join(sorted(unknown))}")
    for name, value in settings.items():
        if not isinstance(value, str | int | float | os.PathLike):
            raise TypeError(f"{name} takes text, a number or a path, not {type(value).__name__}")
    texts = {name: str(value) for name, value in settings.items()}
    with tempfile.TemporaryDirectory(prefix="conexiones-test-") as folder:
        server = Server(data_dir or Path(folder) / "data", texts)
        server.start()
        with server:
            yield server
