"""Commands as users run them, in a folder, with the server's address in the environment."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.commands import forked

CLI = [sys.executable, "-m", "conexiones"]
NOBODY = "00000000-0000-7000-8000-000000000000"


INTERPRETER = ("PYTHON", "LANG", "LC_")
"""What begins the names of variables that an interpreter reads when it starts."""


class Shell:
    """Runs commands. `folder` is where; `environ` has the server's address."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        self.address = address
        self.environ = {**os.environ, "CONEXIONES_ADDRESS": address}

    def __call__(
        self, *arguments: str, status: int = 0, text: bytes = b"", **environ: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs a command in a forked process (tests/commands/forked.py)."""
        if any(name.startswith(INTERPRETER) for name in environ):
            return self.anew(*arguments, status=status, text=text, **environ)
        return _checked(forked.run(arguments, self.folder, self.environ | environ, text), status)

    def anew(
        self, *arguments: str, status: int = 0, text: bytes = b"", **environ: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs a command as users do, in an interpreter of its own."""
        return self._ran([*CLI, *arguments], status, text, environ)

    def bash(
        self, script: str, *, status: int = 0, text: bytes = b"", **environ: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs a script of bash, in which `conexiones` is the command."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        command = ["bash", "--norc", "-c", f"set -o pipefail\n{script}"]
        return self._ran(command, status, text, {"PATH": path, **environ})

    def _ran(
        self, command: list[str], status: int, text: bytes, environ: dict[str, str]
    ) -> subprocess.CompletedProcess[bytes]:
        ran = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environ | environ,
            input=text,
            capture_output=True,
            check=False,
        )
        return _checked(ran, status)

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [*CLI, *arguments],
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


def _checked(ran: "subprocess.CompletedProcess[bytes]", status: int) -> "subprocess.CompletedProcess[bytes]":
    assert ran.returncode == status, ran.stderr.decode()
    assert b"Traceback" not in ran.stderr
    assert b"Exception ignored" not in ran.stderr
    return ran


@contextmanager
def ended(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Kills the process at the end of the block, so that a failed test does not wait for it."""
    try:
        yield
    finally:
        process.kill()


def lines(ran: "subprocess.CompletedProcess[bytes]") -> list[dict[str, Any]]:
    return [json.loads(line) for line in ran.stdout.splitlines()]


def said(ran: "subprocess.CompletedProcess[bytes]") -> list[str]:
    """The lines of standard error."""
    return ran.stderr.decode().splitlines()
