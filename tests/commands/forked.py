"""Commands, and programs in Python, in processes that are forked from one that has imported what they need.

Each is a process of its own, with its own arguments, environment, folder and streams, which ends as an
interpreter does. What is not tried so is how the interpreter starts, which costs most of a command's CPU.
"""

import atexit
import faulthandler
import gc
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO

from conexiones import commands

_IMPORTED = (
    "conexiones.__main__",
    "conexiones.certificates",
    "conexiones.cli",
    *(f"conexiones.commands.{module.name}" for module in pkgutil.iter_modules(commands.__path__)),
    "conexiones.sdk",
    "conexiones.transport.process.supervisor",
)
_STREAMS = 3
_SECONDS = 120
"""How long a program may take. Commands end by themselves, or when they are told to."""


def _serve() -> str:
    """Forks for every request, and says how each process ended. Returns in the processes that were forked,
    with the path of the program, or "" for a command."""
    with socket.socket(fileno=int(sys.argv[1])) as line:
        while True:
            text, streams, _, _ = socket.recv_fds(line, 1 << 20, _STREAMS)
            if not text:
                os._exit(0)
            if child := os.fork():
                for stream in streams:
                    os.close(stream)
                status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                line.send(str(status).encode())
                continue
            break
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    asked = json.loads(text)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    program: str = asked["program"]
    sys.argv[:] = [program or "conexiones", *asked["arguments"]]
    if program:
        # Who does not end says where it stands.
        faulthandler.dump_traceback_later(_SECONDS - 10)
        signal.alarm(_SECONDS)
        sys.path[0] = str(Path(program).resolve().parent)
    return program


class _Forks:
    """The process that forks. One command runs at a time."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line = ours
        self._lock = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                # Python's streams are made for what they have at the start: pipes, as those of the commands.
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # gRPC reads it when it is imported. Commands set it before, which some show that run `anew`.
                env={**os.environ, "GRPC_VERBOSITY": "NONE"},
                pass_fds=[theirs.fileno()],
            )

    def run(
        self,
        arguments: Sequence[str],
        folder: Path,
        environ: Mapping[str, str],
        text: bytes,
        program: str = "",
    ) -> "subprocess.CompletedProcess[bytes]":
        asked = {
            "arguments": arguments,
            "folder": str(folder),
            "environ": dict(environ),
            "program": program,
        }
        pipes = [os.pipe() for _ in range(_STREAMS)]
        theirs = [pipes[0][0], pipes[1][1], pipes[2][1]]
        given, said, complained = (
            os.fdopen(end, mode)
            for end, mode in ((pipes[0][1], "wb"), (pipes[1][0], "rb"), (pipes[2][0], "rb"))
        )
        with self._lock:
            socket.send_fds(self._line, [json.dumps(asked).encode()], theirs)
            for end in theirs:
                os.close(end)
            writing = threading.Thread(target=_give, args=(given, text))
            complaints: list[bytes] = []
            reading = threading.Thread(target=lambda: complaints.append(complained.read()))
            for thread in (writing, reading):
                thread.start()
            output = said.read()
            for thread in (writing, reading):
                thread.join()
            status = self._line.recv(64)
        assert status, self._process.communicate()[1].decode()
        for file in (said, complained):
            file.close()
        return subprocess.CompletedProcess(list(arguments), int(status), output, complaints[0])

    def close(self) -> None:
        self._line.close()
        self._process.communicate()


def _give(file: IO[bytes], text: bytes) -> None:
    try:
        with file:
            file.write(text)
    except BrokenPipeError:
        pass  # the command has ended, or does not read


@cache
def _forks() -> _Forks:
    forks = _Forks()
    atexit.register(forks.close)
    return forks


def run(
    arguments: Sequence[str], folder: Path, environ: Mapping[str, str], text: bytes
) -> "subprocess.CompletedProcess[bytes]":
    """Runs a command as subprocess.run does, with `text` on its standard input."""
    return _forks().run(arguments, folder, environ, text)


def run_program(
    path: str, arguments: Sequence[str], folder: Path, environ: Mapping[str, str]
) -> "subprocess.CompletedProcess[bytes]":
    """Runs a program in Python as `python -W error PATH` does, with nothing on its standard input. What gRPC
    reads from the environment when it is imported has no effect."""
    return _forks().run(arguments, folder, environ, b"", path)


if __name__ == "__main__":
    for module in _IMPORTED:
        __import__(module)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.collect()
    gc.freeze()  # the collector would touch, and so copy, all that was imported
    if path := _serve():
        warnings.simplefilter("error")
        runpy.run_path(path, run_name="__main__")
    else:
        from conexiones.__main__ import main

        main()
