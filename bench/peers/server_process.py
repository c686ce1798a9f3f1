"""A server in a process of its own: starting it, pausing it and ending it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from bench.processes import family, processor_seconds

START_SECONDS = 60.0
"""How long a server may take to become ready."""
STOP_SECONDS = 60.0
"""How long a server may take to end."""
SETTLE_SECONDS = 120.0
"""How long to wait at most until a server is idle."""

IDLE_CPU = 0.1
"""CPU seconds per second below which a server counts as idle."""

ROOT = Path(__file__).resolve().parents[2]

SOURCES = os.pathsep.join([str(ROOT), str(ROOT / "src")])
"""The PYTHONPATH with which this checkout is measured, and not an installed version."""


class Failed(Exception):
    """A program did not start, or failed. The text is its output."""


class ServerProcess:
    """A program that prints ` listens on HOST:PORT ` when it is ready. It is ended when the block ends."""

    def __init__(
        self, command: Sequence[str | Path], *, data_dir: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        self._command = [str(word) for word in command]
        self.data_dir = data_dir
        self._environ = environ or {}
        self.address = ""
        self.log = ""
        self._ready = threading.Event()

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> "ServerProcess":
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CONEXIONES_")}
        ours = {
            "CONEXIONES_DATA_DIR": str(self.data_dir),
            "CONEXIONES_ADDRESS": "127.0.0.1:0",
            # A server is ended only when no client is left, so it need not wait for calls.
            "CONEXIONES_GRACE_SECONDS": "0",
            "PYTHONPATH": SOURCES,
        }
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**inherited, **ours, **self._environ},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._ready.wait(START_SECONDS) or not self.address:
            self._process.kill()
            self.stop()
            raise Failed(f"{' '.join(self._command)}: {self.log}")
        return self

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as lines:
            for line in lines:
                if len(self.log) < 100_000:
                    self.log += line
                if " listens on " in line:
                    self.address = line.split(" listens on ")[1].split()[0]
                    self._ready.set()
        self._ready.set()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Lets the server run in the block, and stops it (SIGSTOP) afterwards, so that its background work,
        such as describing images, does not disturb the turns of other contenders."""
        self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._signal(signal.SIGSTOP)

    def cpu(self) -> float:
        """CPU seconds that its processes have used so far."""
        return processor_seconds(self.pid)

    def settle(self) -> None:
        """Waits until the server is idle."""
        settle(self)

    def _signal(self, number: signal.Signals) -> None:
        """Sends a signal to the program and to all its descendants."""
        with suppress(psutil.NoSuchProcess):
            for one in family(self.pid):
                with suppress(psutil.NoSuchProcess):
                    one.send_signal(number)

    def stop(self) -> None:
        """Asks the program to end, and waits until it has. Calling it again is a no-op."""
        if self._process.poll() is None:
            self._signal(signal.SIGCONT)
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(STOP_SECONDS)

    def __exit__(self, *_: object) -> None:
        self.stop()


def settle(*servers: ServerProcess) -> None:
    """Waits until the servers are idle. After a start, one looks through the catalog for images that are not
    described yet."""

    def cpu() -> float:
        return sum(server.cpu() for server in servers)

    before, end = cpu(), time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < end:
        time.sleep(1)
        now = cpu()
        if now - before < IDLE_CPU * len(servers):
            return
        before = now


def python(*command: str, data_dir: Path, **environ: str) -> ServerProcess:
    """A server that is one of our Python modules."""
    return ServerProcess([sys.executable, "-m", *command], data_dir=data_dir, environ=environ)


def ours(data_dir: Path, **settings: str) -> ServerProcess:
    """The server as users start it."""
    environ = {f"CONEXIONES_{name.upper()}": value for name, value in settings.items()}
    return python("conexiones", "serve", data_dir=data_dir, **environ)
