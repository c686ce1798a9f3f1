"""A server as a program: started, waited for, ended."""

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

from bench.measures import tree

START_SECONDS = 60.0
STOP_SECONDS = 60.0
SETTLE_SECONDS = 120.0

IDLE = 0.05
"""Seconds of processor in a second, of a server that does nothing."""

ROOT = Path(__file__).resolve().parents[2]

SOURCES = os.pathsep.join([str(ROOT), str(ROOT / "src")])
"""For PYTHONPATH: what is measured is this checkout, whatever is installed."""


class Failed(Exception):
    """A program did not start, or did not do what it was told; the text is what it wrote."""


class Program:
    """A program that says ` listens on HOST:PORT ` when it is ready: `address`. It ends with the block."""

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

    def __enter__(self) -> "Program":
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CONEXIONES_")}
        ours = {
            "CONEXIONES_DATA_DIR": str(self.data_dir),
            "CONEXIONES_ADDRESS": "127.0.0.1:0",
            # When a server is ended there is nobody left who would have to be told.
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
        """Runs for the block, and stands still from then on: what it still has to do in the background, such
        as to describe images, disturbs nobody else's turn."""
        self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._signal(signal.SIGSTOP)

    def cpu(self) -> float:
        """Seconds of processor that its processes have taken."""
        return sum(sum(one.cpu_times()[:2]) for one in tree(psutil.Process(self.pid)))

    def settle(self) -> None:
        """Waits until it has nothing left to do: after a start it looks through the catalog for what is to be
        described."""
        before, end = self.cpu(), time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < end:
            time.sleep(1)
            now = self.cpu()
            if now - before < IDLE:
                return
            before = now

    def _signal(self, number: signal.Signals) -> None:
        """To it and to the processes that it has started."""
        with suppress(psutil.NoSuchProcess):
            for one in tree(psutil.Process(self.pid)):
                with suppress(psutil.NoSuchProcess):
                    one.send_signal(number)

    def stop(self) -> None:
        """Asks it to end and waits until it has; may be called again."""
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


def python(*command: str, data_dir: Path, **environ: str) -> Program:
    """A server that is a Python module of ours."""
    return Program([sys.executable, "-m", *command], data_dir=data_dir, environ=environ)


def ours(data_dir: Path, **settings: str) -> Program:
    """The server as users start it."""
    environ = {f"CONEXIONES_{name.upper()}": value for name, value in settings.items()}
    return python("conexiones", "serve", data_dir=data_dir, **environ)
